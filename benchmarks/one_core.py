"""What the timings on one CPU core share: the core, the images, and the record that says so."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine, rounds

BATCH = 128


def run_on_one_core(module: str, doc: str | None, main: Callable[[argparse.Namespace, int], dict[str, Any]]) -> None:
    """The command: reads its options, pins the process, calls main(options, core) and writes the record."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="random", choices=["random", "cifar10", "cifar100"])
    parser.add_argument("--data_dir", default="", help="where a named data set is prepared")
    parser.add_argument("--images", type=int, default=50_000, help="how many random images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each, each round")
    parser.add_argument("--json", default="", help="where to write the record")
    options = parser.parse_args()
    record_on_one_core(module, options, lambda core: main(options, core))


def record_on_one_core(module: str, options: argparse.Namespace, measured: Callable[[int], dict[str, Any]]) -> None:
    """Pins the process, calls measured(core) and writes the record, if `options.json` is not empty."""
    core = use_one_core()
    from softaug_jax.commands import as_command  # after the process is pinned: it imports jax
    from softaug_jax.run_files import write_json

    @as_command
    def command(words: list[str]) -> int:
        record = machine.provenance(module, words, "one CPU core")
        record |= {"dataset": options.dataset, "batch_size": BATCH, "rounds": options.rounds, **measured(core)}
        if options.json:
            write_json(Path(options.json), record)
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


def measure(pipelines: dict[str, Iterator[Any]], number: int, seconds: float) -> dict[str, list[float]]:
    """Images per second of each pipeline, one value a round of about so many seconds, after one that warms up."""

    def lap_of(batches: Iterator[Any]) -> rounds.Lap:
        def lap() -> int:
            count, end = 0, time.perf_counter() + seconds
            while not count or time.perf_counter() < end:
                next(batches)
                count += BATCH
            return count

        return lap

    laps = {name: lap_of(batches) for name, batches in pipelines.items()}
    for lap in laps.values():
        lap()
    return rounds.measure(laps, number)
