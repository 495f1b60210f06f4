"""Trains what is missing of a table: python -m softaug_jax.sweep TABLE [options] [-- OPTIONS OF main.py]

TABLE is one of configs/tables.py: table1, table2, table3, table4, barlow_twins or extras.

Every cell and seed has a workdir of its own, OUT/<data set>/<network>/<method>/seed<k>. What is finished is skipped,
what was interrupted goes on. A method that several tables have is trained once if they share --out.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from softaug_jax.checks import UsageError
from softaug_jax.child import Child
from softaug_jax.cli import config_of
from softaug_jax.commands import Parser, add_selection, as_command, cells, folder, positive
from softaug_jax.paths import is_in_bucket
from softaug_jax.run_files import read_json
from softaug_jax.train import distributed

if TYPE_CHECKING:
    from configs.tables import Cell

# Options of main.py that decide which cell is trained, and what to use instead.
TAKEN = {
    "--config": "the table names it",
    "--workdir": "--out is the sweep's",
    "--mode": "a sweep trains",
    "--config.epochs": "--epochs is the sweep's",
    "--config.seed": "--seeds is the sweep's",
    "--config.model.name": "--model is the sweep's",
    "--config.dataset": "--dataset is the sweep's",
}


class Job(NamedTuple):
    """One run of main.py: a cell with a seed."""

    cell: Cell
    workdir: Path
    command: list[str]

    @property
    def name(self) -> str:
        """Data set, network, method and seed."""
        return "/".join(self.workdir.parts[-4:])

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended."""
        return (self.workdir / "summary.json").exists()

    @property
    def config(self) -> Any:
        """What main.py trains; raises UsageError if an option can't be used."""
        return config_of([word for word in self.command[2:] if word.startswith("--config")])


@as_command
def main(words: list[str]) -> int:
    """Runs the sweep; returns 0 if all of it is finished, 1 if a run failed, 128 + the signal that stopped it."""
    args, extra = _parser().parse_with_extra(words)
    jobs = plan(args, extra)
    missing = [job for job in jobs if not job.is_finished]
    if args.runner == "slurm" and not args.dry_run and shutil.which("sbatch") is None:
        raise UsageError("--runner=slurm needs sbatch, which is not on PATH. Run it where Slurm is, or leave it out.")
    if args.runner == "slurm" and is_in_bucket(args.out):
        raise UsageError(f"--runner=slurm can't use --out={args.out}: Slurm's logs go there. Name a shared folder.")
    if args.dry_run:
        show(jobs, args)
        return 0
    print(f"{args.table}: {len(jobs)} runs, {len(jobs) - len(missing)} finished, {len(missing)} to do.", flush=True)
    if args.runner == "slurm":
        return submit(missing, args)
    return run(jobs, missing, f"python -m softaug_jax.sweep {shlex.join(words)}")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m softaug_jax.sweep",
        description="Trains what is missing of a table, from a checkout.",
        epilog="What follows -- is passed to every main.py, as in -- --config.data.dir=DIR.",
    )
    parser.add_argument("table", help="table1, table2, table3, table4, barlow_twins or extras")
    add_selection(parser)
    parser.add_argument("--method", action="append", default=[], help="a row, as in --method=SA+RA; default: all")
    parser.add_argument("--seeds", type=positive, default=3, help="how many, from seed 0; default: 3, as in the paper")
    parser.add_argument(
        "--epochs", type=positive, help="default: the configs' own, the paper's: on CIFAR 500, of pairs 800"
    )
    parser.add_argument("--out", type=folder, default=Path("runs/tables"), help="folder of the workdirs; runs/tables")
    parser.add_argument("--dry_run", action="store_true", help="print the commands, and what is finished, and run none")
    parser.add_argument("--runner", choices=("local", "slurm"), default="local", help="one after another, or sbatch")
    parser.add_argument(
        "--sbatch", type=_words, default=[], help='options of sbatch, as in --sbatch="--gres=gpu:1 --time=12:00:00"'
    )
    return parser


def _words(text: str) -> list[str]:
    """Options in one string, quoted as for a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} can't be read as options: {str(error).lower()}") from None


def plan(args: argparse.Namespace, extra: Sequence[str]) -> list[Job]:
    """Every run that was asked for, finished or not: the first seed of all cells, then the next.

    Raises:
      UsageError: if there is none, an option can't be used, or a workdir holds a run of another config.
    """
    check_extra(extra, TAKEN)
    if args.sbatch and args.runner != "slurm":
        raise UsageError(f"--sbatch={shlex.join(args.sbatch)} is for --runner=slurm: add that, or leave it out.")
    chosen = cells(args.table, args.dataset, args.model, args.method)
    why_not = {cell: _why_not(make_job(cell, 0, args.epochs, args.out, extra)) for cell in chosen}
    reasons = "; ".join(dict.fromkeys(filter(None, why_not.values())))
    trainable = [cell for cell in chosen if not why_not[cell]]
    if not trainable:
        raise UsageError(f"Nothing of {args.table} that was asked for can be trained here: {reasons}.")
    if reasons:
        print(f"{len(chosen) - len(trainable)} rows are left out: {reasons}.", file=sys.stderr)
    made = [make_job(cell, seed, args.epochs, args.out, extra) for seed in range(args.seeds) for cell in trainable]
    jobs = list({job.workdir: job for job in made}.values())  # a network is trained once for all its test sets
    for job in jobs:
        _check_run(job, args)
    return jobs


def _why_not(job: Job) -> str:
    """Why main.py would refuse to train it; empty if it would not."""
    from softaug_jax.train.validate import validate

    if job.cell.config is None:
        return job.cell.reason
    try:
        validate(job.config, num_devices=1)
    except UsageError as error:
        return str(error).rstrip(".")
    return ""


def check_extra(extra: Sequence[str], taken: Mapping[str, str]) -> None:
    """Raises UsageError if an option that is passed on is none of main.py's, or one that the command itself decides."""
    distributed.define_flags(values := flags.FlagValues())
    known = [f"--{name}" for name in values]
    for option in extra:
        name, separator, _ = option.partition("=")
        if name in taken:
            raise UsageError(f"{option!r} after -- can't be set: {taken[name]}.")
        if not separator or not (name.startswith("--config.") or name in known):
            raise UsageError(
                f"{option!r} after -- is not understood: options of main.py are --config.FIELD=VALUE, and "
                f"{', '.join(f'{name}=VALUE' for name in known)}."
            )


def make_job(cell: Cell, seed: int, epochs: int | None, out: Path, extra: Sequence[str]) -> Job:
    """The run of a cell with a seed, in its workdir below `out`."""
    workdir = out / (cell.trained_on or cell.dataset) / cell.model / cell.slug / f"seed{seed}"
    config = f"--config=configs/{cell.config}.py:{cell.argument(epochs, seed)}"
    return Job(cell, workdir, [sys.executable, "main.py", config, f"--workdir={workdir}", *extra])


def _check_run(job: Job, args: argparse.Namespace) -> None:
    """A finished run of another config would be skipped as if it were the one that was asked for."""
    from softaug_jax.train.workdir import Workdir

    folder = Workdir(job.workdir)
    if not folder.is_run():
        return
    there = read_json(job.workdir / "config.json").get("epochs")
    if there != (wanted := args.epochs or job.cell.build().epochs):
        raise UsageError(
            f"{job.workdir} holds a run of {there} epochs, not {wanted}. "
            f"Choose another folder, as in --out={args.out}-{wanted}ep, or --epochs={there}."
        )
    folder.check(job.config)


def show(jobs: Iterable[Job], args: argparse.Namespace) -> None:
    """Prints the commands, one a line, and as comments what is finished."""
    for job in jobs:
        command = sbatch_command(job, args.sbatch) if args.runner == "slurm" else job.command
        print(f"# finished: {job.workdir}" if job.is_finished else shlex.join(command))


def run(jobs: Sequence[Job], missing: Sequence[Job], command: str) -> int:
    """Runs them one after another; returns the exit code. `command` is what the user typed, to go on with."""
    failed: list[str] = []
    with Child() as child:
        for number, job in enumerate(missing):
            before = len(jobs) - len(missing) + number
            print(f"\n[{before + 1}/{len(jobs)}] {job.name}{_time_left(jobs, missing[number:])}", flush=True)
            code = child.run(job.command)
            if child.signal is not None or (code == 0 and not job.is_finished):
                why = f"stopped by {child.signal.name}" if child.signal else f"{job.name} stopped before its end"
                done = f"{sum(job.is_finished for job in jobs)} of {len(jobs)} are finished"
                done += f", {len(failed)} failed: {', '.join(failed)}" if failed else ""
                print(f"\n{why}; {done}. To go on: {command}")
                return 128 + child.signal if child.signal else 1
            if code:
                failed.append(f"{job.name} (exit code {code})")
    return outcome(len(jobs), failed, "are finished", command)


def _time_left(jobs: Iterable[Job], left: Sequence[Job]) -> str:
    """About how long the rest takes, by the finished runs: those of the same network and data set, or else all."""
    seconds: dict[tuple[str, ...], list[float]] = {}
    for job in jobs:
        if job.is_finished:
            took = read_json(job.workdir / "summary.json")["wall_seconds"]
            for key in ((job.cell.dataset, job.cell.model), ()):
                seconds.setdefault(key, []).append(took)
    if not seconds:
        return ""
    known = [seconds.get((job.cell.dataset, job.cell.model), seconds[()]) for job in left]
    return f", about {spoken(sum(sum(values) / len(values) for values in known))} left"


def spoken(seconds: float) -> str:
    """A duration in hours and minutes, or one under two minutes in seconds."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def sbatch_command(job: Job, options: Sequence[str]) -> list[str]:
    """Submits a run. A second job of the same name waits for the first, and then finds it finished."""
    log = job.workdir.parent / f"{job.workdir.name}-%j.log"
    about = [f"--job-name={job.name.replace('/', '-')}", f"--output={log}", "--dependency=singleton"]
    return ["sbatch", "--parsable", *about, *options, f"--wrap=exec {shlex.join(job.command)}"]


def submit(missing: Sequence[Job], args: argparse.Namespace) -> int:
    """Submits them and prints the jobs' ids; returns the exit code."""
    failed: list[str] = []
    for job in missing:
        try:
            job.workdir.parent.mkdir(parents=True, exist_ok=True)  # Slurm does not make the log's folder
        except OSError as error:
            raise UsageError(f"--out={args.out} can't be written: {error.strerror}. Choose another folder.") from None
        done = subprocess.run(sbatch_command(job, args.sbatch), capture_output=True, text=True)
        if done.returncode:
            failed.append(f"{job.name} ({' '.join(done.stderr.split()) or f'sbatch: exit code {done.returncode}'})")
        else:
            print(f"{done.stdout.strip()}  {job.name}", flush=True)
    return outcome(len(missing), failed, "are submitted", "the same command")


def outcome(total: int, failed: Sequence[str], done: str, command: str) -> int:
    """Says at the end what failed, and how to try again; returns the exit code."""
    if not failed:
        print(f"\n{total} of {total} {done}.")
        return 0
    print(f"\n{len(failed)} of {total} failed: {'; '.join(failed)}. To try them again: {command}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
