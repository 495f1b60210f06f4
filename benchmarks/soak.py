"""Kills a training at random moments, lets it go on each time, and compares its end with that of an undisturbed one.

  python -m benchmarks.soak --kills=50 --out=FILE.json -- --config=configs/digits_sa.py:model=resnet8,epochs=20

The undisturbed training gives the time within which each start of the other is killed (SIGKILL), start-up and saving
included. A training that ends first is compared, and another is begun, until all kills are done. What is after -- is
main.py's. With --processes=2 a training is two processes, of which one is killed; the other must end by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command, positive
from softaug_jax.run_files import read_history, read_json, write_json

PATIENCE_SECONDS = 120.0  # until processes must have ended of which one was killed
TIMEOUTS = ("--heartbeat_timeout=15", "--initialization_timeout=30")
UNEQUAL = ("examples_per_second",)  # in rows of metrics: a matter of time


class Kill(NamedTuple):
    """What was under way when a training was killed."""

    after_seconds: float
    steps_to_redo: int  # that were logged, and are after the newest checkpoint
    in_start_up: bool  # before it said what it trains
    while_saving: bool
    others_ended_after_seconds: float | None = None  # of several processes, those that were not killed


class Trainings:
    """Starts main.py with the same options on folders of a scratch folder."""

    def __init__(self, scratch: Path, options: Sequence[str], processes: int = 1):
        self.scratch, self.options, self.count = scratch, options, processes
        self.warnings: list[str] = []

    def start(self, name: str, seconds: float | None = None, victim: int = 0) -> Kill | None:
        """Trains in the folder of this name until the end (None), or until one is killed after so many seconds.

        Raises:
          UsageError: if it ends with an error, or others go on when one has been killed.
        """
        workdir = self.scratch / name
        with contextlib.ExitStack() as stack:
            processes = [self._begin(stack, workdir, i, flags) for i, flags in enumerate(_joining(self.count))]
            began = time.monotonic()
            ended = _wait(processes, seconds)
            killed = time.monotonic()
            if not ended:
                processes[victim].kill()
                if not _wait(processes, PATIENCE_SECONDS):
                    raise UsageError(f"process {victim} was killed, and {PATIENCE_SECONDS:g} s later others still ran")
            others = time.monotonic() - killed if self.count > 1 else None
            codes = [process.returncode for process in processes]
        said = [self._read(f"err{i}.txt") for i in range(self.count)]
        if ended or self.count == 1:  # survivors say what they miss
            self.warnings += [line.replace(str(self.scratch), "") for lines in said for line in lines]
        if ended and any(codes):
            lines = next(lines for lines, code in zip(said, codes, strict=True) if code)
            raise UsageError(f"the training ended with code {max(codes)}: {lines[-1] if lines else 'no reason given'}")
        if not any(codes):
            return None
        in_start_up = not self._read("out0.txt")
        return _killed(workdir, killed - began, in_start_up, others)

    def _begin(self, stack: contextlib.ExitStack, workdir: Path, i: int, flags: Sequence[str]) -> subprocess.Popen:
        out, err = (stack.enter_context((self.scratch / f"{kind}{i}.txt").open("wb")) for kind in ("out", "err"))
        command = [sys.executable, "main.py", *self.options, f"--workdir={workdir}", *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def _read(self, name: str) -> list[str]:
        """The lines of a process's output but for those of Gloo, which joins processes and says so on both."""
        lines = (self.scratch / name).read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith("[Gloo]")]


def _joining(count: int) -> list[list[str]]:
    """For each process the flags that join it to the others, on this machine."""
    if count == 1:
        return [[]]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = [f"--coordinator={address}", f"--num_processes={count}", *TIMEOUTS]
    return [[*shared, f"--process_id={i}"] for i in range(count)]


def _wait(processes: Sequence[subprocess.Popen], seconds: float | None) -> bool:
    """Waits until all have ended, or for so many seconds; returns whether all have."""
    end = None if seconds is None else time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
    return True


def _killed(workdir: Path, seconds: float, in_start_up: bool, others: float | None) -> Kill:
    checkpoints = workdir / "checkpoints"
    names = os.listdir(checkpoints) if checkpoints.exists() else []
    saved = max((int(name) for name in names if name.isdecimal()), default=0)
    logged = max((row["step"] for row in read_history(workdir / "metrics.jsonl")), default=0)
    while_saving = any("tmp" in name for name in names)
    took = None if others is None else round(others, 3)
    return Kill(round(seconds, 3), max(0, logged - saved), in_start_up, while_saving, took)


def soak(trainings: Trainings, kills: int, rng: random.Random, seconds: float) -> Iterator[tuple[str, Kill | None]]:
    """Yields a folder and its training's kill, or None at a training's end; the last is an end."""
    done, runs = 0, 0
    while done < kills:
        name = f"killed{runs}"
        kill = trainings.start(name, rng.uniform(0.0, seconds), rng.randrange(trainings.count))
        done, runs = (done + 1, runs) if kill else (done, runs + 1)
        yield name, kill
    yield f"killed{runs}", trainings.start(f"killed{runs}")


def differences(options: Sequence[str], one: Path, other: Path) -> dict[str, int]:
    """How many arrays of the final states, and rows of metrics, are not the same bit for bit."""
    import jax

    jax.config.update("jax_platforms", "cpu")  # an accelerator is the trainings'
    from softaug_jax.cli import config_of
    from softaug_jax.train import checksums, setup, sharding
    from softaug_jax.train.checkpoint import Checkpoints

    abstract = jax.eval_shape(setup.build(config_of(options)).initial_state)
    arrays, rows = [], []
    for workdir in (one, other):
        checkpoints = Checkpoints(workdir, read_only=True)
        state, _ = checkpoints.restore(abstract, sharding.over(jax.devices()[:1]).replicated)
        checkpoints.close()
        arrays.append(checksums.host_copies(state))
        history = read_history(workdir / "metrics.jsonl")
        rows.append([{name: row[name] for name in row if name not in UNEQUAL} for row in history])
    same = [arrays[0][name].tobytes() == arrays[1][name].tobytes() for name in arrays[0]]
    lengths = abs(len(rows[0]) - len(rows[1]))
    return {
        "arrays": len(same),
        "arrays_that_differ": same.count(False),
        "rows": len(rows[0]),
        "rows_that_differ": lengths + sum(a != b for a, b in zip(*rows, strict=False)),
    }


def run(options: Sequence[str], kills: int, seed: int, processes: int, scratch: Path) -> dict[str, Any]:
    """Does it all; returns the record."""
    trainings, rng = Trainings(scratch, options, processes), random.Random(seed)
    began = time.perf_counter()
    trainings.start("whole")
    seconds = time.perf_counter() - began
    print(f"undisturbed: {seconds:.1f} s. {kills} kills follow, at moments drawn with seed {seed}.", flush=True)
    seen: list[Kill] = []
    compared: list[dict[str, int]] = []
    for name, kill in soak(trainings, kills, rng, seconds):
        if kill is None:
            compared.append(differences(options, scratch / "whole", scratch / name))
            print(f"{name} ended: {json.dumps(compared[-1])}", flush=True)
        else:
            seen.append(kill)
            print(f"kill {len(seen)}/{kills}: {json.dumps(kill._asdict())}", flush=True)
    from softaug_jax.train.summary import commit

    summary = read_json(scratch / "whole" / "summary.json")
    several = f" --processes={processes}" if processes > 1 else ""
    longest = {"others_ended_after_seconds_at_most": max(kill.others_ended_after_seconds or 0 for kill in seen)}
    return {
        "command": f"python -m benchmarks.soak --kills={kills} --seed={seed}{several} -- {' '.join(options)}",
        "processes": processes,
        **(longest if several else {}),
        "kills": len(seen),
        "killed_in_start_up": sum(kill.in_start_up for kill in seen),
        "killed_while_saving": sum(kill.while_saving for kill in seen),
        "trainings": len(compared),
        "resumes": len(seen),
        "steps": summary["steps"],
        "steps_redone": sum(kill.steps_to_redo for kill in seen),
        "undisturbed_seconds": round(seconds, 1),
        "lines_on_stderr": trainings.warnings,
        "arrays_that_differ": sum(each["arrays_that_differ"] for each in compared),
        "rows_that_differ": sum(each["rows_that_differ"] for each in compared),
        "compared": compared,
        "seconds_until_killed": [kill.after_seconds for kill in seen],
        **{name: summary[name] for name in ("top1_error", "device", "num_devices", "versions", "date")},
        "commit": commit(),
    }


@as_command
def main(words: list[str]) -> int:
    """The command; returns 1 if anything differs."""
    parser = Parser(prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=positive, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--processes", type=positive, default=1, help="of a training, on this machine")
    parser.add_argument("--out", type=Path, help="where to write the record")
    args, options = parser.parse_with_extra(words)
    if not options or any(word.startswith("--workdir") for word in options):
        parser.error("give main.py's options after --, --config among them and no --workdir")
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        record = run(options, args.kills, args.seed, args.processes, Path(scratch))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, record)
    print(
        f"{record['kills']} kills ({record['killed_in_start_up']} in start-up, {record['killed_while_saving']} while "
        f"saving), {record['trainings']} trainings, {record['steps_redone']} steps redone, "
        f"{len(record['lines_on_stderr'])} lines on stderr; {record['arrays_that_differ']} arrays and "
        f"{record['rows_that_differ']} rows of metrics differ."
    )
    return int(bool(record["arrays_that_differ"] or record["rows_that_differ"]))


if __name__ == "__main__":
    sys.exit(main())
