"""The host's part where images are files: reads them at random, cuts and resizes, for training and for evaluation.

Everything is a function of (seed, step, position), so that any step can be reached at once, and one process or eight
agree; memory holds the batches under way and nothing that grows with the set. Threads share the work: reading, decoding
and resizing run outside Python's global lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from softaug_jax.augment import Chain, Flip, Member, Pair
from softaug_jax.checks import UsageError, check_scalar
from softaug_jax.data.decode import Box, UnreadableImage, cut, evaluation_box, read_header
from softaug_jax.data.image_filling import Filling, Unreadable, default_threads, filled
from softaug_jax.data.image_set import ImageSet
from softaug_jax.data.prefetch import to_device
from softaug_jax.data.tf_import import tensorflow
from softaug_jax.data.tfdata import check_stream, draw_seed, example_indices, member_draws
from softaug_jax.data.windows import WINDOWS, window_of

UNREADABLE_IN_A_ROW = 100  # so many are no accident


def train_batches(
    images: ImageSet,
    chain: Chain | Pair,
    *,
    seed: int,
    batch_size: int,
    size_px: int,
    resize_px: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int | None = None,
    unreadable: Unreadable | None = None,
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
      resize_px: the shorter edge of the image of which evaluation cuts the central square, at least S.
      start_step: the first step to yield.
      process_index: which part, in [0, process_count).
      process_count: how many processes share each batch.
      num_threads: how many images are decoded at once; None for one a core.
      unreadable: where images are noted that can't be read; it may raise UsageError. None: they are skipped.

    Yields:
      image uint8 [b, S, S, 3], label int32 [b], and one field for each member drawn here, under its name: the window's
      is its box float32 [b, 4], in fractions of the image after the flip.

    Raises:
      ValueError: if an argument is out of range, or a member is called "image" or "label".
      UsageError: if a hundred images in a row can't be read.
    """
    check_stream(images, chain, batch_size, start_step, process_index, process_count)
    check_scalar("size_px", size_px, at_least=1, at_most=resize_px)
    tf = tensorflow()
    draws_at = _drawing(chain, len(images), seed, batch_size, size_px)
    unreadable = Unreadable(images, skip=True) if unreadable is None else unreadable
    part = batch_size // process_count
    positions = slice(process_index * part, (process_index + 1) * part)

    def jobs() -> Iterator[Filling]:
        step = start_step
        while True:
            draws = draws_at(tf.constant(step, tf.int64))
            yield _Part(images, chain, size_px, resize_px, unreadable, step, draws, positions).job()
            step += 1

    return filled(jobs(), default_threads() if num_threads is None else num_threads)


class _Part:
    """A process's part of one step's batch, and how each of its examples is filled in."""

    def __init__(
        self,
        images: ImageSet,
        chain: Chain | Pair,
        size_px: int,
        resize_px: int,
        unreadable: Unreadable,
        step: int,
        draws: dict[str, Any],
        positions: slice,
    ):
        self._images, self._size_px, self._resize_px, self._unreadable = images, size_px, resize_px, unreadable
        self._window, self._step = window_of(chain), step
        self._examples = draws["example"].numpy()[positions]
        self._numbers = draws["window"].numpy()[positions]
        members = {name: values.numpy()[positions] for name, values in draws["members"].items()}
        count = len(self._examples)
        self._flipped = np.zeros(count, bool)
        for member in chain.members:
            if type(member.transform) is Flip and self._is_on(member):
                self._flipped ^= members[member.name]
        self._batch = {
            "image": np.empty((count, size_px, size_px, 3), np.uint8),
            "label": np.empty(count, np.int32),
            **members,
        }
        if self._window is not None:
            self._batch[self._window.name] = np.empty((count, 4), np.float32)

    def job(self) -> Filling:
        return Filling(self._batch, self._fill)

    def _is_on(self, member: Member) -> bool:
        return member.until_step is None or self._step < member.until_step

    def _fill(self, i: int) -> None:
        """Reads the i-th example, or the next one in the set that can be read."""
        first = int(self._examples[i])
        for step in range(min(UNREADABLE_IN_A_ROW, len(self._images))):
            index = (first + step) % len(self._images)
            try:
                image = read_header(self._images.read(index))
                cut(image, self._box(i, image.height, image.width), self._size_px, out=self._batch["image"][i])
            except (UnreadableImage, OSError) as error:
                self._unreadable.note(index, error)
            else:
                self._batch["label"][i] = self._images.labels[index]
                return
        raise UsageError(f"{self._images.name(index)} and those before it can't be read. Is the set damaged?")

    def _box(self, i: int, height: int, width: int) -> Box:
        """What to cut out of the file for the i-th example; the batch gets it as it is after the flip."""
        box = evaluation_box(height, width, size_px=self._size_px, resize_px=self._resize_px)
        if self._window is None:
            return box
        if self._is_on(self._window):
            transform = self._window.transform
            box = WINDOWS[type(transform)].box(transform, self._numbers[i], height, width)
        boxes = self._batch[self._window.name]
        boxes[i] = box
        y0, x0, y1, x1 = boxes[i].tolist()  # rounded to float32, as the device will have it
        return (y0, 1 - x1, y1, 1 - x0) if self._flipped[i] else (y0, x0, y1, x1)


def _drawing(
    chain: Chain | Pair, count: int, seed: int, batch_size: int, size_px: int
) -> Callable[[Any], dict[str, Any]]:
    """A function of the step: which examples the global batch takes, and the draws for them."""
    tf = tensorflow()
    window = window_of(chain)

    def draws_at(step: Any) -> dict[str, Any]:
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        numbers = tf.zeros((batch_size, 0))
        if window is not None:
            sample = WINDOWS[type(window.transform)].sample
            numbers = sample(tf, window.transform, draw_seed(tf, seed, window.name, step), batch_size)
        return {
            "example": example_indices(tf, positions, count, seed),
            "window": numbers,
            "members": member_draws(tf, chain, seed, step, batch_size, (size_px, size_px)),
        }

    return tf.function(draws_at).get_concrete_function(tf.TensorSpec((), tf.int64))


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

    def _job(self, start: int) -> Filling:
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
                cut(image, box, self._size_px, out=batch["image"][i])
            except (UnreadableImage, OSError) as error:
                self.unreadable.note(int(example[i]), error)
                batch["mask"][i] = False

        return Filling(batch, fill)
