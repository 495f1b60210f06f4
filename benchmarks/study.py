"""Runs as much of the study as fits into the time given, from a checkout, and prints its table.

  python -m benchmarks.study --hours=2 --out=DIR [--list=main|figure3|questions] [--epochs=100] [-- OPTIONS OF main.py]
  python -m benchmarks.study --out=DIR --table

Runs are started in the list's order, the first seed of all rows before the second. Each leaves a record in OUT/records
the moment it ends; what has a record is not run again, and what was stopped when the time was up goes on. No
TensorFlow is needed: digits, or CIFAR from an .npz file. docs/study.md says what is compared, and why.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import study_figure, study_lists, study_table
from benchmarks.study_lists import Entry
from benchmarks.study_records import images_per_class, other_amounts, sort
from benchmarks.study_runner import Plan, Runner
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command, local_folder, positive
from softaug_jax.report.placing import trained
from softaug_jax.sweep import TAKEN, check_extra, make_job

SAVES = 10  # evaluations, and checkpoints, in a run: a table needs none but the last, a crash may need one


@as_command
def main(words: list[str]) -> int:
    """Runs the study; 0 if nothing failed, 1 if a run did, 128 + the signal that stopped it."""
    args, extra = (parser := _parser()).parse_with_extra(words)
    if args.hours is None and not (args.dry_run or args.table):
        parser.error("--hours is missing: how long it may run, as in --hours=0.5 (or --dry_run, or --table)")
    plan = _plan(args, extra)
    if args.table:
        return _show_table(plan)
    missing = plan.missing(plan.placed())
    if args.dry_run:
        for _, job in plan.jobs:
            print(shlex.join(job.command) if job in missing else f"# recorded: {job.name}")
        return 0
    _check(plan)
    code = Runner(plan, f"python -m benchmarks.study {shlex.join(words)}").run(missing)
    return code or _show_table(plan)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.study",
        description="Runs as much of the study as fits into the time given, and prints its table.",
        epilog="What follows -- is passed to every main.py, as in -- --config.data.dir=DIR.",
    )
    parser.add_argument("--hours", type=_hours, help="how long it may run, as in 0.5")
    parser.add_argument(
        "--out", type=local_folder, default=Path("runs/study"), help="folder of records and runs; runs/study"
    )
    parser.add_argument("--list", choices=study_lists.LISTS, default="main", help="what to run; default: main")
    parser.add_argument("--dataset", choices=study_lists.DATASETS, default="cifar10", help="default: cifar10")
    parser.add_argument("--model", help="the network; default: the list's own, ResNet-18 first")
    parser.add_argument("--method", action="append", default=[], help="a row, as in --method=SA+RA; default: all")
    parser.add_argument("--epochs", type=positive, help="default: the configs' own, the paper's 500")
    parser.add_argument("--seeds", type=positive, default=3, help="how many, from seed 0; default: 3, as in the paper")
    parser.add_argument("--dry_run", action="store_true", help="print the commands, and what is recorded, and run none")
    parser.add_argument("--table", action="store_true", help="print the table of what is recorded, and run nothing")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="of the table")
    parser.add_argument(
        "--records", action="append", type=Path, default=[], help="a further folder of records, beside OUT/records"
    )
    parser.add_argument("--commit", help="what records name where the checkout has no .git to ask")
    return parser


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of hours above 0, as in 0.5")
    return value


def _plan(args: argparse.Namespace, extra: list[str]) -> Plan:
    """Every run of the list, recorded or not.

    Raises:
      UsageError: if a name is unknown, an option can't be used, or a folder of records is none.
    """
    if not Path("main.py").is_file():
        raise UsageError(f"{Path.cwd()} has no main.py: change to the checkout's folder.")
    for folder in args.records:
        if not folder.is_dir():
            raise UsageError(f"--records={folder} is not a folder.")
    try:
        entries = study_lists.entries(args.list, args.dataset, args.model, args.method)
    except ValueError as error:
        raise UsageError(str(error)) from None
    decided = {
        option.partition("=")[0]: f"rows of --list={args.list} differ in it" for e in entries for option in e.options
    }
    check_extra(extra, TAKEN | {"--config.epochs": "it is --epochs", "--config.seed": "it is --seeds"} | decided)
    entries = [entry._replace(options=(*entry.options, *extra)) for entry in entries]
    if images_per_class(entries[0]):  # the paper trains on all
        entries = [entry._replace(paper=None) for entry in entries]
    epochs = args.epochs or entries[0].build().epochs
    entries = _distinct(entries, epochs)
    every = max(1, epochs // SAVES)
    cheap = [f"--config.eval_every_epochs={every}", f"--config.checkpoint_every_epochs={every}"]
    jobs = [
        (seed, make_job(entry, seed, epochs, args.out / "runs", [*cheap, *entry.options]))
        for model in dict.fromkeys(entry.model for entry in entries)
        for seed in range(args.seeds)
        for entry in entries
        if entry.model == model
    ]
    return Plan(args, extra, epochs, entries, jobs)


def _distinct(entries: Sequence[Entry], epochs: int) -> list[Entry]:
    """Without those that train what an earlier one trains: a short schedule has no final uncropped epochs."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        first = kept.setdefault(json.dumps(trained(entry.build(epochs).to_dict()), sort_keys=True), entry)
        if first is not entry:
            same = f"{entry.method} trains the same as {first.method} at {epochs} epochs"
            print(f"{same}: left out.", file=sys.stderr)
    return list(kept.values())


def _check(plan: Plan) -> None:
    """Raises UsageError for a config or a workdir that main.py would refuse, before any time is spent."""
    from softaug_jax.train.validate import validate
    from softaug_jax.train.workdir import Workdir

    for _, job in plan.jobs:
        config = job.config
        validate(config, 1)
        Workdir(job.workdir).check(config)


def _show_table(plan: Plan) -> int:
    """Prints the table, draws its figure where it has one, and returns the exit code."""
    args, records = plan.args, plan.records()
    placed = sort(plan.entries, records, plan.extra)
    for stray in [*placed.strays, *other_amounts(plan.entries, records)]:
        print(f"{stray} Left out.", file=sys.stderr)
    recorded = sorted({epochs for epochs, entry in placed.runs if entry in plan.entries})
    epochs = [args.epochs] if args.epochs else recorded or [plan.epochs]
    table = study_table.study_table(args.list, plan.entries, placed, epochs)
    print({"text": table.text, "markdown": table.markdown, "csv": table.csv}[args.format](), end="")
    if args.list == "figure3":
        for path in study_figure.draw(args.out, plan.entries, placed, epochs):
            print(f"Wrote {path}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
