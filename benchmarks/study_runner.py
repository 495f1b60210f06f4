"""Runs what is missing of the study, one run after another, within a budget of time."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import study_records
from benchmarks.record import record
from benchmarks.study_lists import Entry
from softaug_jax.checks import UsageError
from softaug_jax.child import Child
from softaug_jax.report.placing import Placed
from softaug_jax.report.runs import Run
from softaug_jax.run_files import read_json
from softaug_jax.sweep import Job, outcome, spoken

clock = time.monotonic


class Plan(NamedTuple):
    """What was asked for."""

    args: argparse.Namespace
    extra: list[str]
    epochs: int
    entries: list[Entry]
    jobs: list[tuple[int, Job]]  # with their seeds, in the order in which they are run

    def records(self) -> list[Run]:
        """The records there are, of whatever row."""
        return study_records.read([self.args.out / "records", *self.args.records])

    def placed(self) -> Placed:
        """The records, in their rows."""
        return study_records.sort(self.entries, self.records(), self.extra)

    def missing(self, placed: Placed) -> list[Job]:
        """The jobs without a record."""
        seeds = {key: {run.config["seed"] for run in runs} for key, runs in placed.runs.items()}
        return [job for seed, job in self.jobs if seed not in seeds.get((self.epochs, job.cell), ())]


def device() -> tuple[str, int]:
    """Kind and number of the devices, asked in another process: in this one they would be kept from the runs."""
    code = "import jax, json; print(json.dumps([jax.devices()[0].device_kind, jax.device_count()]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"JAX does not start: {(done.stderr.strip() or 'it gives no reason').splitlines()[-1]}")
    kind, count = json.loads(done.stdout.splitlines()[-1])
    return kind, count


class Runner:
    """One call's share of the study."""

    def __init__(self, plan: Plan, command: str):
        """`command` is what the user typed, to go on with."""
        self.plan, self.command = plan, command
        self.end = clock() + 3600 * plan.args.hours
        self.device = device()
        self.failed: list[str] = []
        self.too_long: list[float] = []  # how long those would take that were not started
        # A further seed of a row, or a run that goes on, finds its programs compiled.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str((plan.args.out / "cache").resolve()))

    def run(self, missing: Sequence[Job]) -> int:
        """Runs them in turn as far as the time allows; returns the exit code."""
        total = len(self.plan.jobs)
        print(
            f"{self.plan.args.list}: {total} runs, {total - len(missing)} recorded, {len(missing)} to do; "
            f"{spoken(3600 * self.plan.args.hours)} on {self.device[1]} x {self.device[0]}.",
            flush=True,
        )
        with Child() as child:
            for job in missing:
                if job.is_finished:  # the study was stopped before it wrote the record
                    self.record(job)
                elif self.fits(job):
                    code = self.start(job, child)
                    if code is not None:
                        return code
        return self.outcome()

    def fits(self, job: Job) -> bool:
        """Whether it would end in the time left, by the runs of its network; without any, if there is time at all.

        It says what is started, or remembers what is not.
        """
        runs = [run for members in self.plan.placed().runs.values() for run in members]
        needed = study_records.seconds_of(job, runs, self.plan.epochs, self.device)
        left = self.end - clock()
        if left <= 0 or (needed is not None and needed > left):
            self.too_long += [needed] if needed is not None else []
            return False
        number = [each for _, each in self.plan.jobs].index(job) + 1
        about = f"takes about {spoken(needed)}" if needed is not None else "time not known yet"
        print(f"\n[{number}/{len(self.plan.jobs)}] {job.name}, {about}; {spoken(left)} left", flush=True)
        return True

    def start(self, job: Job, child: Child) -> int | None:
        """Runs it and records it; returns an exit code if nothing more is to be started."""
        began = clock()
        code = child.run(job.command, max(0.0, self.end - began))
        if job.is_finished:
            self.record(job, process_seconds=round(clock() - began, 1))
            print(f"recorded: {job.name}", flush=True)
        elif code == 2:
            print(f"\nmain.py refused {job.name} for the reason above; nothing more was started.", file=sys.stderr)
            return 2
        elif code not in (0, -signal.SIGTERM):
            self.failed.append(f"{job.name} (exit code {code})")
        elif child.timed_out:
            print(f"\nThe time is up: {job.name} was stopped; the next call goes on with it.", flush=True)
        elif child.signal is None:
            print(f"\n{job.name} stopped before its end; {self.recorded()}. To go on: {self.command}")
            return 1
        if child.signal is not None:
            print(f"\nstopped by {child.signal.name}; {self.recorded()}. To go on: {self.command}")
            return 128 + child.signal
        return None

    def record(self, job: Job, **measured: float) -> None:
        """Copies the run's figures into OUT/records."""
        more = {"study": {"row": job.cell.method, **measured}}
        if read_json(job.workdir / "summary.json").get("commit") is None:
            more["commit"] = self.plan.args.commit
        record(job.workdir, self.plan.args.out / "records", f"{job.cell.dataset}_{job.cell.slug}", **more)

    def recorded(self) -> str:
        """How many of the list's runs have a record."""
        total = len(self.plan.jobs)
        return f"{total - len(self.plan.missing(self.plan.placed()))} of {total} are recorded"

    def outcome(self) -> int:
        """Says at the end what is left; returns the exit code."""
        total = len(self.plan.jobs)
        if self.failed or not self.plan.missing(self.plan.placed()):
            return outcome(total, self.failed, "are recorded", self.command)
        long = f"the next takes about {spoken(min(self.too_long))}; " if self.too_long else ""
        print(f"\n{self.recorded()}; {long}the rest is for another call. To go on: {self.command}\n", flush=True)
        return 0
