"""The host's part of training: which examples a step takes, and the draws for them, with tf.data.

The pixels are left as they are stored: flipping, cropping and normalising happen on the device (softaug_jax.augment).
Everything is a function of (seed, step), so that any step can be reached at once, and one process or eight agree.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from math import log
from typing import Any

import numpy as np

from softaug_jax.augment import Chain, Flip, HardCrop, Pair, ResizedCrop, SoftCrop
from softaug_jax.augment.resized_crop import TRIES
from softaug_jax.checks import UsageError, check_scalar
from softaug_jax.data.image_set import ImageSet
from softaug_jax.data.sources import Arrays
from softaug_jax.data.tf_import import tensorflow

ORDER_STREAM = 0x50F7  # keeps the order of the examples apart from other uses of the seed
SHUFFLE_ROUNDS = 8  # of the cipher that permutes the examples; fewer leave epochs correlated
LOW_64_BITS = (1 << 64) - 1
PREFETCH_BATCHES = 4
STEPS_AT_ONCE = 4  # batches made in parallel, where there are cores for it


def train_batches(
    arrays: Arrays,
    chain: Chain | Pair,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = STEPS_AT_ONCE,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields this process's part of the training batches, without end, from `start_step` on.

    The stream is one permutation of all n examples after the other, an epoch each; no remainder is dropped, so a batch
    may lie across two epochs. Step s of the global batch B takes positions [s B, (s + 1) B); a process takes its
    contiguous slice of them.

    Args:
      arrays: the training split; every process holds all of it.
      chain: the augmentations, of one view or of a pair. Members of a type in `SAMPLERS` are drawn here, the others are
        left to the device.
      seed: any integer; with the step, it determines everything.
      batch_size: B, of the global batch, a multiple of process_count.
      start_step: the first step to yield.
      process_index: which part, in [0, process_count).
      process_count: how many processes share each batch.
      num_threads: at most so many batches are made at once, 1 to use one core.

    Yields:
      image uint8 [b, H, W, C], label int32 [b], and one field for each member drawn here, under its name.

    Raises:
      ValueError: if an argument is out of range, or a member is called "image" or "label".
    """
    check_stream(arrays, chain, batch_size, start_step, process_index, process_count)
    tf = tensorflow()
    images = tf.constant(arrays.images)
    labels = tf.constant(arrays.labels, tf.int32)
    part = batch_size // process_count
    begin = process_index * part
    size = arrays.images.shape[1:3]

    def batch_at(step: Any) -> dict[str, Any]:
        positions = step * batch_size + tf.range(begin, begin + part, dtype=tf.int64)
        indices = example_indices(tf, positions, len(arrays.labels), seed)
        batch = {"image": tf.gather(images, indices), "label": tf.gather(labels, indices)}
        # Drawn for the global batch and sliced, so that the draws are the same for any number of processes.
        draws = member_draws(tf, chain, seed, step, batch_size, size)
        return {**batch, **{name: values[begin : begin + part] for name, values in draws.items()}}

    dataset = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    dataset = dataset.map(batch_at, num_parallel_calls=num_threads, deterministic=True).prefetch(PREFETCH_BATCHES)
    return dataset.with_options(_options(tf, num_threads)).as_numpy_iterator()


def check_stream(
    examples: Arrays | ImageSet,
    chain: Chain | Pair,
    batch_size: int,
    start_step: int,
    process_index: int,
    process_count: int,
) -> None:
    """Raises ValueError, or UsageError, unless these make a stream of training batches."""
    check_scalar("batch_size", batch_size, at_least=1)
    check_scalar("start_step", start_step, at_least=0)
    check_scalar("process_count", process_count, at_least=1)
    check_scalar("process_index", process_index, at_least=0, at_most=process_count - 1)
    if batch_size % process_count:
        raise UsageError(f"batch_size = {batch_size} does not divide over {process_count} processes.")
    if len(examples.labels) == 0:
        raise UsageError("There are no training examples.")
    Chain(chain.members).check()


def _options(tf: Any, num_threads: int) -> Any:
    options = tf.data.Options()
    options.deterministic = True
    # A pool of its own, so that the pipeline does not take all cores from JAX's work on the host.
    options.threading.private_threadpool_size = num_threads
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return options


def example_indices(tf: Any, positions: Any, count: int, seed: int) -> Any:
    """Which examples are at these positions of the training stream, int64 [b]."""
    # The operation takes the low 31 bits of each of its three seeds, so the run's is hashed into two of them. Seeds
    # of two elements are not enough: the shuffle of (seed, epoch) is close to that of (seed, epoch + 1).
    hashed = np.random.SeedSequence([ORDER_STREAM, seed & LOW_64_BITS]).generate_state(2) >> 1
    first, last = (tf.fill(tf.shape(positions), tf.constant(word, tf.int64)) for word in hashed)
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % count,
        seed=tf.stack([first, positions // count, last], axis=-1),
        max_index=tf.constant(count - 1, tf.int64),
        rounds=SHUFFLE_ROUNDS,
    )


def member_draws(
    tf: Any, chain: Chain | Pair, seed: int, step: Any, batch: int, size: tuple[int, int]
) -> dict[str, Any]:
    """The draws of a step for those of the chain's members that are drawn here, by their names, [batch, ...] each."""
    return {
        m.name: SAMPLERS[type(m.transform)](tf, m.transform, draw_seed(tf, seed, m.name, step), batch, size)
        for m in chain.members
        if type(m.transform) in SAMPLERS
    }


def draw_seed(tf: Any, seed: int, name: str, step: Any) -> Any:
    """The seed of one member's draws at one step, int64 [2]: the run's seed, and the name's checksum with the step."""
    stream = np.uint64(zlib.crc32(name.encode()) << 32).astype(np.int64)
    run = np.uint64(seed & LOW_64_BITS).astype(np.int64)
    return tf.stack([tf.constant(run, tf.int64), tf.constant(stream, tf.int64) + step])


def _sample_flip(tf: Any, flip: Flip, seed: Any, batch: int, size: tuple[int, int]) -> Any:
    return tf.random.stateless_uniform((batch,), seed) < flip.probability


def _sample_soft_crop(tf: Any, crop: SoftCrop, seed: Any, batch: int, size: tuple[int, int]) -> Any:
    """The distribution of `crops.sample_offsets`, from TensorFlow's generator."""
    longer = max(size)
    offsets = tf.random.stateless_parameterized_truncated_normal(
        (batch, 2),
        seed,
        means=0.0,
        stddevs=crop.sigma * longer,
        minvals=-float(longer),
        maxvals=float(longer),
    )
    if crop.rounding == "nearest":
        offsets = tf.round(offsets)
    return tf.clip_by_value(tf.cast(offsets, tf.int32), 1 - longer, longer - 1)  # the cast truncates


def _sample_hard_crop(tf: Any, crop: HardCrop, seed: Any, batch: int, size: tuple[int, int]) -> Any:
    return tf.random.stateless_uniform((batch, 2), seed, -crop.pad_px, crop.pad_px + 1, dtype=tf.int32)


def _sample_resized_crop(tf: Any, crop: ResizedCrop, seed: Any, batch: int, size: tuple[int, int]) -> Any:
    """The distribution of `ResizedCrop.sample`, from TensorFlow's generator."""
    crop.check()
    uniform = tf.random.stateless_uniform((batch, 2 * TRIES + 2), seed)
    between = lambda low, high, share: low + (high - low) * share
    area_px = size[0] * size[1] * between(*crop.scale, uniform[:, :TRIES])
    ratio = tf.exp(between(log(crop.ratio[0]), log(crop.ratio[1]), uniform[:, TRIES : 2 * TRIES]))
    sides = tf.cast(tf.round(tf.sqrt(tf.stack([area_px / ratio, area_px * ratio], -1))), tf.int32)
    fits = tf.reduce_all((sides > 0) & (sides <= size), -1)
    sides = tf.gather(sides, tf.argmax(tf.cast(fits, tf.int32), 1), batch_dims=1)  # the first that fits
    start = tf.cast(tf.floor(uniform[:, 2 * TRIES :] * tf.cast(size - sides + 1, tf.float32)), tf.int32)
    boxes = tf.concat([start, start + sides], axis=1)
    return tf.where(tf.reduce_any(fits, 1, keepdims=True), boxes, crop.fall_back(size))


# Draws on the host, by the exact type of the transform: (tf, transform, seed [2], batch, (H, W)) -> draws [batch, ...].
SAMPLERS: dict[type, Callable[[Any, Any, Any, int, tuple[int, int]], Any]] = {
    Flip: _sample_flip,
    SoftCrop: _sample_soft_crop,
    HardCrop: _sample_hard_crop,
    ResizedCrop: _sample_resized_crop,
}
