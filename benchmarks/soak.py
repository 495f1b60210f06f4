"""Kills a training at random moments, lets it go on each time, and compares its end with that of an undisturbed one.

  python -m benchmarks.soak --kills=50 --out=FILE.json -- --config=configs/digits_sa.py:model=resnet8,epochs=20

The undisturbed training gives the time within which each start of the other is killed (SIGKILL), start-up and saving
included. A training that ends first is compared, and another is begun, until all kills are done. What is after -- is
main.py's.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, positive
from softaug_jax.run_files import read_history, read_json, write_json

UNEQUAL = ("examples_per_second",)  # in rows of metrics: a matter of time


class Kill(NamedTuple):
    """What was under way when a training was killed."""

    after_seconds: float
    steps_to_redo: int  # that were logged, and are after the newest checkpoint
    in_start_up: bool  # before it said what it trains
    while_saving: bool


class Trainings:
    """Starts main.py with the same options on folders of a scratch folder."""

    def __init__(self, scratch: Path, options: Sequence[str]):
        self.scratch, self.options = scratch, options
        self.warnings: list[str] = []

    def start(self, name: str, seconds: float | None = None) -> Kill | None:
        """Trains in the folder of this name until the end (None), or until it is killed after so many seconds.

        Raises:
          UsageError: if it ends with an error.
        """
        workdir, out, err = self.scratch / name, self.scratch / "out.txt", self.scratch / "err.txt"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            command = [sys.executable, "main.py", *self.options, f"--workdir={workdir}"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
                process.wait()
        lines = err.read_text(errors="replace").splitlines()
        self.warnings += [line.replace(str(self.scratch), "") for line in lines]
        if code is None:
            return _killed(workdir, seconds or 0.0, in_start_up=not out.stat().st_size)
        if code:
            raise UsageError(f"the training ended with code {code}: {lines[-1] if lines else 'it gives no reason'}")
        return None


def _killed(workdir: Path, seconds: float, in_start_up: bool) -> Kill:
    checkpoints = workdir / "checkpoints"
    names = os.listdir(checkpoints) if checkpoints.exists() else []
    saved = max((int(name) for name in names if name.isdecimal()), default=0)
    logged = max((row["step"] for row in read_history(workdir / "metrics.jsonl")), default=0)
    while_saving = any("tmp" in name for name in names)
    return Kill(round(seconds, 3), max(0, logged - saved), in_start_up, while_saving)


def soak(trainings: Trainings, kills: int, rng: random.Random, seconds: float) -> Iterator[tuple[str, Kill | None]]:
    """Yields a folder and its training's kill, or None at a training's end; the last is an end."""
    done, runs = 0, 0
    while done < kills:
        name = f"killed{runs}"
        kill = trainings.start(name, rng.uniform(0.0, seconds))
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


def run(options: Sequence[str], kills: int, seed: int, scratch: Path) -> dict[str, Any]:
    """Does it all; returns the record."""
    trainings, rng = Trainings(scratch, options), random.Random(seed)
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
    return {
        "command": f"python -m benchmarks.soak --kills={kills} --seed={seed} -- {' '.join(options)}",
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


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns 1 if anything differs."""
    parser = Parser(prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=positive, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="where to write the record")
    args, options = parser.parse_with_extra(sys.argv[1:] if words is None else words)
    if not options or any(word.startswith("--workdir") for word in options):
        parser.error("give main.py's options after --, --config among them and no --workdir")
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
            record = run(options, args.kills, args.seed, Path(scratch))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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
