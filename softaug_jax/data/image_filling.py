"""Batches of images that threads fill in, several at a time, and the count of the files that could not be read."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from softaug_jax.checks import UsageError, check_scalar
from softaug_jax.data.image_set import ImageSet

PREFETCH_BATCHES = 3
IMAGES_A_TASK = 4  # handing over each alone would cost a fiftieth of its time


def default_threads() -> int:
    """One for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Filling(NamedTuple):
    """A batch that is being filled, and what fills its i-th example."""

    batch: dict[str, np.ndarray]
    fill: Callable[[int], None]


class Unreadable:
    """Counts the files that can't be read, and names each once on stderr."""

    def __init__(self, images: ImageSet, skip: bool):
        self._images, self._skip = images, skip
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, index: int, reason: BaseException) -> None:
        """Takes notice of a file, or raises UsageError if none may be skipped."""
        if not self._skip:
            raise UsageError(
                f"{self._images.name(index)} can't be read ({reason}). Replace the file, or let such files be skipped."
            ) from reason
        with self._lock:
            if index in self._seen:
                return
            self._seen.add(index)
            count = len(self._seen)
        print(
            f"skipped {self._images.name(index)}: {reason} ({count:,} unreadable so far)", file=sys.stderr, flush=True
        )


def filled(jobs: Iterable[Filling], num_threads: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields the jobs' batches in order, while threads fill the next ones."""
    check_scalar("num_threads", num_threads, at_least=1)
    waiting: deque[tuple[Filling, list[Future[None]]]] = deque()

    def finish() -> dict[str, np.ndarray]:
        job, tasks = waiting.popleft()
        for task in tasks:
            task.result()
        return job.batch

    def fill(job: Filling, start: int) -> None:
        for i in range(start, min(start + IMAGES_A_TASK, len(job.batch["label"]))):
            job.fill(i)

    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
    try:
        for job in jobs:
            starts = range(0, len(job.batch["label"]), IMAGES_A_TASK)
            waiting.append((job, [pool.submit(fill, job, start) for start in starts]))
            if len(waiting) > PREFETCH_BATCHES:
                yield finish()
        while waiting:
            yield finish()
    finally:
        pool.shutdown(cancel_futures=True)
