"""What the timings on one CPU core share: the core, the images, taking turns, and where a record comes from."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

BATCH = 128


def run_on_one_core(doc: str | None, main: Callable[[argparse.Namespace, int], dict[str, Any]]) -> None:
    """The command: reads its options, pins the process, calls main(options, core) and writes the record."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="random", choices=["random", "cifar10", "cifar100"])
    parser.add_argument("--data_dir", default="", help="where a named data set is prepared")
    parser.add_argument("--images", type=int, default=50_000, help="how many random images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each, each round")
    parser.add_argument("--json", default="", help="where to write the record")
    options = parser.parse_args()
    record_on_one_core(lambda core: main(options, core), options.json)


def record_on_one_core(measured: Callable[[int], dict[str, Any]], path: str) -> None:
    """Pins the process, calls measured(core) and writes the record, if `path` is not empty."""
    core = use_one_core()
    from softaug_jax.commands import as_command  # after the process is pinned: it imports jax

    @as_command
    def command(_: list[str]) -> int:
        record = measured(core)
        if path:
            Path(path).write_text(json.dumps(record, indent=2) + "\n")
        return 0

    sys.exit(command())


def use_one_core() -> int:
    """Pins this process, before anything starts threads; returns the core, or -1 where that can't be done."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if not hasattr(os, "sched_setaffinity"):
        return -1
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def images_of(dataset: str, data_dir: str, num_images: int) -> Any:
    """A named training set, or random pixels."""
    import numpy as np

    from softaug_jax.data.sources import Arrays, load

    if dataset != "random":
        return load(dataset, "train", data_dir)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    return Arrays(images, rng.integers(0, 10, num_images).astype(np.int32))


def rate(batches: Iterator[Any], seconds: float) -> float:
    """Images per second over about so many seconds."""
    next(batches)
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        count += BATCH
    return count / elapsed


def measure(pipelines: dict[str, Iterator[Any]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Rates of each pipeline, one a round, taken in turn."""
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for round_number in range(rounds + 1):
        for name, batches in pipelines.items():
            seen = rate(batches, seconds)
            if round_number:  # the first one warms up
                rates[name].append(seen)
    return rates


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of one rate to another."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def provenance(module: str, options: argparse.Namespace, packages: Sequence[str]) -> dict[str, Any]:
    """How a record came about: command, data, machine, date, commit, and the versions of what is installed."""
    from softaug_jax.train.summary import commit

    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "dataset": options.dataset,
        "batch_size": BATCH,
        "rounds": options.rounds,
        "machine": f"{platform.machine()}, one of {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages if installed(package)},
        },
    }


def installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
