"""The host's part where images are files: reads them at random, cuts and resizes, for training and for evaluation.

Everything is a function of (seed, step, position), so that any step can be reached at once, and one process or eight
agree; memory holds the batches under way and nothing that grows with the set. Threads share the work: reading, decoding
and resizing run outside Python's global lock.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from softaug_jax.augment import Chain, Flip, Pair
from softaug_jax.checks import UsageError, check_scalar
from softaug_jax.data.decode import Box, UnreadableImage, cut, evaluation_box, read_header
from softaug_jax.data.image_set import ImageSet
from softaug_jax.data.prefetch import to_device
from softaug_jax.data.tf_import import tensorflow
from softaug_jax.data.tfdata import SAMPLERS, check_stream, draw_seed, example_indices
from softaug_jax.data.windows import WINDOWS, window_of

PREFETCH_BATCHES = 3
SHUFFLE_ROUNDS = 8
UNREADABLE_IN_A_ROW = 100  # so many are no accident


def default_threads() -> int:
    """One for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job(NamedTuple):
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
        print(f"skipped {self._images.name(index)}: {reason} ({count:,} unreadable so far)", file=sys.stderr, flush=True)


def train_batches(
    images: ImageSet,
    chain: Chain | Pair,
    *,
    seed: int,
    batch_size: int,
    size_px: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int | None = None,
    skip_unreadable: bool = True,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields this process's part of the training batches, without end, from `start_step` on.

    The stream of examples is that of `tfdata.train_batches`. Each image is cut by the chain's window, if it has one
    (`HardWindow`, `SoftWindow`), and else as evaluation cuts it; so too from the step on at which the window is
    switched off. An image that can't be read is replaced by the set's next one that can, with its label; the position
    keeps its draws. So the replacement depends on nothing but the set.

    Args:
      images: the training split; every process reads its part of it.
      chain: the augmentations. A flip is drawn here and done on the device; the window is cut so that this restores it.
      seed: any integer; with the step, it determines everything.
      batch_size: B, of the global batch, a multiple of process_count.
      size_px: S, the edge of the images in a batch.
      start_step: the first step to yield.
      process_index: which part, in [0, process_count).
      process_count: how many processes share each batch.
      num_threads: how many images are decoded at once; None for one a core.
      skip_unreadable: False raises UsageError at the first image that can't be read.

    Yields:
      image uint8 [b, S, S, 3], label int32 [b], and one field for each member drawn here, under its name: the window's
      is its box float32 [b, 4], in fractions of the image after the flip.

    Raises:
      ValueError: if an argument is out of range, or a member is called "image" or "label".
      UsageError: if a hundred images in a row can't be read.
    """
    check_stream(images, chain, batch_size, start_step, process_index, process_count)
    check_scalar("size_px", size_px, at_least=1)
    stream = _Stream(images, chain, seed, batch_size, size_px, Unreadable(images, skip_unreadable))
    part = batch_size // process_count
    positions = slice(process_index * part, (process_index + 1) * part)

    def jobs() -> Iterator[Job]:
        step = start_step
        while True:
            yield stream.job(step, positions)
            step += 1

    return filled(jobs(), default_threads() if num_threads is None else num_threads)


class _Stream:
    """Which images a step takes, and what is drawn for them."""

    def __init__(
        self, images: ImageSet, chain: Chain | Pair, seed: int, batch_size: int, size_px: int, unreadable: Unreadable
    ):
        self._images, self._unreadable, self._size_px = images, unreadable, size_px
        self._window = window_of(chain)
        self._flips = [member for member in chain.members if type(member.transform) is Flip]
        self._draws_at = _drawing(chain, len(images), seed, batch_size, size_px)

    def job(self, step: int, positions: slice) -> Job:
        """The part of a step's batch that lies at these positions."""
        draws = {name: values.numpy()[positions] for name, values in self._draws_at(np.int64(step)).items()}
        examples, window = draws.pop("example"), draws.pop("window", None)
        batch = {
            "image": np.empty((len(examples), self._size_px, self._size_px, 3), np.uint8),
            "label": np.empty(len(examples), np.int32),
            **draws,
        }
        is_on = lambda member: member.until_step is None or step < member.until_step
        flipped = np.zeros(len(examples), bool)
        for member in self._flips:
            flipped ^= draws[member.name] & is_on(member)
        if self._window is not None:
            batch[self._window.name] = np.empty((len(examples), 4), np.float32)

        def box_of(i: int, height: int, width: int) -> Box:
            box = evaluation_box(height, width, size_px=self._size_px, resize_px=_resize_px(self._size_px))
            if self._window is None:
                return box
            if is_on(self._window):
                box = WINDOWS[type(self._window.transform)].box(self._window.transform, window[i], height, width)
            batch[self._window.name][i] = box
            y0, x0, y1, x1 = (float(edge) for edge in batch[self._window.name][i])  # as the device will see it
            return (y0, 1 - x1, y1, 1 - x0) if flipped[i] else (y0, x0, y1, x1)

        def fill(i: int) -> None:
            index = int(examples[i])
            for _ in range(min(UNREADABLE_IN_A_ROW, len(self._images))):
                try:
                    image = read_header(self._images.read(index))
                    batch["image"][i] = cut(image, box_of(i, image.height, image.width), self._size_px)
                except (UnreadableImage, OSError) as error:
                    self._unreadable.note(index, error)
                    index = (index + 1) % len(self._images)
                else:
                    batch["label"][i] = self._images.labels[index]
                    return
            raise UsageError(f"{self._images.name(index)} and those before it can't be read. Is the set damaged?")

        return Job(batch, fill)


def _drawing(chain: Chain | Pair, count: int, seed: int, batch_size: int, size_px: int) -> Callable[[np.int64], Any]:
    """A function of the step: which examples the global batch takes, and the draws for them."""
    tf = tensorflow()
    window = window_of(chain)
    drawn = [(m.name, m.transform) for m in chain.members if type(m.transform) in SAMPLERS]

    def draws_at(step: Any) -> dict[str, Any]:
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        fields = {"example": example_indices(tf, positions, count, seed, SHUFFLE_ROUNDS)}
        for name, transform in drawn:
            seed_of_step = draw_seed(tf, seed, name, step)
            fields[name] = SAMPLERS[type(transform)](tf, transform, seed_of_step, batch_size, (size_px, size_px))
        if window is not None:
            sample = WINDOWS[type(window.transform)].sample
            fields["window"] = sample(tf, window.transform, draw_seed(tf, seed, window.name, step), batch_size)
        return fields

    return tf.function(draws_at, input_signature=[tf.TensorSpec((), tf.int64)])


def _resize_px(size_px: int) -> int:
    """The shorter edge of which evaluation cuts `size_px`: 256 for 224."""
    return round(size_px * 256 / 224)


class EvalImages:
    """The set as batches of one size, read anew each time; can be iterated again and again.

    Each image's shorter edge is resized to `resize_px`, and the central square of `size_px` cut out. The batches are
    as those of `EvalBatches`: `image` uint8 [B, S, S, 3], `label` int32 [B], `mask` bool [B] (False is padding, or a
    file that can't be read) and `index` int32 [B], the example's number in the set. Each process reads its own part.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        sharding: jax.sharding.Sharding,
        size_px: int = 224,
        resize_px: int = 256,
        *,
        num_threads: int | None = None,
        skip_unreadable: bool = True,
    ):
        check_scalar("size_px", size_px, at_least=1, at_most=resize_px)
        processes = jax.process_count()
        if batch_size % processes:
            raise UsageError(f"batch_size = {batch_size} does not divide over {processes} processes.")
        self._images, self._batch_size, self._sharding = images, batch_size, sharding
        self._size_px, self._resize_px = size_px, resize_px
        self._part = batch_size // processes
        self._num_threads = default_threads() if num_threads is None else num_threads
        self.unreadable = Unreadable(images, skip_unreadable)

    def __len__(self) -> int:
        return -(-len(self._images) // self._batch_size)

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        first = jax.process_index() * self._part
        jobs = (self._job(number * self._batch_size + first) for number in range(len(self)))
        return to_device(filled(jobs, self._num_threads), self._sharding)

    def _job(self, start: int) -> Job:
        index = np.arange(start, start + self._part, dtype=np.int32)
        example = index % len(self._images)  # padding repeats real images, so that nothing unusual reaches the network
        batch = {
            "image": np.zeros((self._part, self._size_px, self._size_px, 3), np.uint8),
            "label": self._images.labels[example].astype(np.int32),
            "mask": index < len(self._images),
            "index": index,
        }

        def fill(i: int) -> None:
            try:
                image = read_header(self._images.read(int(example[i])))
                box = evaluation_box(image.height, image.width, size_px=self._size_px, resize_px=self._resize_px)
                batch["image"][i] = cut(image, box, self._size_px)
            except (UnreadableImage, OSError) as error:
                self.unreadable.note(int(example[i]), error)
                batch["mask"][i] = False

        return Job(batch, fill)


def filled(jobs: Iterable[Job], num_threads: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields the jobs' batches in order, while threads fill the next ones."""
    check_scalar("num_threads", num_threads, at_least=1)
    waiting: deque[tuple[Job, list[Future[None]]]] = deque()

    def finish() -> dict[str, np.ndarray]:
        job, tasks = waiting.popleft()
        for task in tasks:
            task.result()
        return job.batch

    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="decode")
    try:
        for job in jobs:
            waiting.append((job, [pool.submit(job.fill, i) for i in range(len(job.batch["label"]))]))
            if len(waiting) > PREFETCH_BATCHES:
                yield finish()
        while waiting:
            yield finish()
    finally:
        pool.shutdown(cancel_futures=True)
