"""Posterize, solarize, autocontrast and equalize: a table of 256 grey levels per image and channel, and one look-up.

Bit for bit Pillow's `ImageOps`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax import gathers
from softaug_jax.augment import words
from softaug_jax.augment.magnitudes import OPERATIONS, Space, by_operation

_AUTOCONTRAST, _EQUALIZE = OPERATIONS.index("AutoContrast"), OPERATIONS.index("Equalize")
_LEVELS = 256


def bit_masks(space: Space) -> np.ndarray:
    """The bits that Posterize keeps, int32 [14, num_bins], all of them for the other operations."""
    dropped = 8 - space["Posterize"].astype(np.int32)
    return by_operation(space, np.int32(255), {"Posterize": 255 & ~(2**dropped - 1)})


def thresholds(space: Space) -> np.ndarray:
    """The grey level from which on Solarize inverts, int32 [14, num_bins], above all levels for the others."""
    return by_operation(space, np.int32(_LEVELS), {"Solarize": np.ceil(space["Solarize"]).astype(np.int32)})


def remap(planes: Sequence[jax.Array], operation: jax.Array, mask: jax.Array, threshold: jax.Array) -> list[jax.Array]:
    """Replaces the grey levels of channels, int32 [B, P] each, by their operation, bit mask and threshold, [B]."""
    channels = len(planes)
    counts = histogram(planes)
    level = jnp.arange(_LEVELS, dtype=jnp.int32).reshape(1, _LEVELS)
    operation, mask, threshold = (jnp.repeat(value, channels)[:, None] for value in (operation, mask, threshold))
    plain = level & mask
    plain = jnp.where(plain < threshold, plain, 255 - plain)
    table = jnp.where(operation == _EQUALIZE, _equalized(counts, planes[0].shape[1]), plain)
    table = jnp.where(operation == _AUTOCONTRAST, _stretched(counts), table)
    tables = words.stored(table).reshape(-1, channels, _LEVELS)
    return [gathers.look_up(tables[:, channel], plane) for channel, plane in enumerate(planes)]


def histogram(planes: Sequence[jax.Array]) -> jax.Array:
    """How often each grey level occurs in each row: channels, int32 [B, P] each, to int32 [B * channels, 256].

    On a CPU by adding one at a time. A TPU is slow at that and fast at matrix products, so on accelerators the upper
    and the lower four bits of a level are rows of 16 zeros and ones, and their product over the pixels counts the
    pairs. (CIFAR-10 on one core, microseconds an image: scatter 3, this product 28, in int8 12, comparing with each of
    the 256 levels 1300. On an accelerator neither was timed.)
    """
    return jax.lax.platform_dependent(list(planes), cpu=count_by_scatter, default=count_by_product)


def count_by_scatter(planes: Sequence[jax.Array]) -> jax.Array:
    """The histogram by scattered addition."""
    count = lambda row: jnp.zeros(_LEVELS, jnp.int32).at[row].add(1, mode="promise_in_bounds")
    rows = jnp.stack(planes, axis=1)
    return jax.vmap(count)(rows.reshape(-1, rows.shape[-1]))


def count_by_product(planes: Sequence[jax.Array]) -> jax.Array:
    """The histogram by a matrix product a row, exact below 2**24 pixels."""
    nibble = jnp.arange(16, dtype=jnp.int32).reshape(1, 16, 1)

    def count(rows: jax.Array) -> jax.Array:
        upper = ((rows >> 4)[:, None] == nibble).astype(jnp.bfloat16)
        lower = ((rows & 15)[:, None] == nibble).astype(jnp.bfloat16)
        return jnp.einsum("rup,rlp->rul", upper, lower, preferred_element_type=jnp.float32)

    # Channel after channel: to join their pixels first costs a TPU more, with large images, than the products.
    counts = jnp.stack([count(rows) for rows in planes], axis=1)
    return counts.astype(jnp.int32).reshape(-1, _LEVELS)


def _equalized(counts: jax.Array, pixels: int) -> jax.Array:
    """The table, int32 [R, 256], that spreads the levels evenly; the identity where there are too few to spread."""
    level = jnp.arange(_LEVELS, dtype=jnp.int32).reshape(1, _LEVELS)
    _, highest = _extremes(counts)
    at_highest = jnp.sum(jnp.where(level == highest, counts, 0), axis=-1, keepdims=True)
    step = jax.lax.div(pixels - at_highest, jnp.full_like(at_highest, 255))
    below = jnp.cumsum(counts, axis=-1) - counts
    spread = jax.lax.div((step >> 1) + below, jnp.broadcast_to(jnp.maximum(step, 1), counts.shape))
    return jnp.where(step > 0, jnp.minimum(spread, 255), level)


def _stretched(counts: jax.Array) -> jax.Array:
    """The table, int32 [R, 256], that takes the lowest level to 0 and the highest to 255."""
    lowest, highest = _extremes(counts)
    level = jnp.arange(_LEVELS, dtype=jnp.int32).reshape(1, _LEVELS)
    span = highest - lowest
    # The half keeps the quotient away from the whole numbers, by more than any way of dividing is off.
    above = 255 * jnp.clip(level - lowest, 0, span)
    stretched = ((above.astype(jnp.float32) + 0.5) / jnp.maximum(span, 1).astype(jnp.float32)).astype(jnp.int32)
    sets, set_of = _short_levels()
    short = jnp.unpackbits(jnp.asarray(sets)[jnp.asarray(set_of)[lowest[:, 0], highest[:, 0]]], axis=-1)
    return jnp.where(span > 0, stretched - short.astype(jnp.int32), level)


def _extremes(counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lowest and the highest level that occur, int32 [R, 1] each."""
    level = jnp.arange(_LEVELS, dtype=jnp.int32).reshape(1, _LEVELS)
    lowest = jnp.min(jnp.where(counts > 0, level, _LEVELS - 1), axis=-1, keepdims=True)
    return lowest, jnp.max(jnp.where(counts > 0, level, 0), axis=-1, keepdims=True)


@functools.cache
def _short_levels() -> tuple[np.ndarray, np.ndarray]:
    """Where Pillow's autocontrast comes out one level short.

    It computes int(level * scale + offset) in float64, which for 12,094 of the (lowest, highest, level) triples lands
    just below a whole number. Integers can't tell which, so they are looked up.

    Returns:
      The sets of levels that are short, as packed bits, uint8 [num_sets, 32], and which of them holds for a (lowest,
      highest), int16 [256, 256]. Together about 0.3 MB.
    """
    level = np.arange(_LEVELS)
    short = np.zeros((_LEVELS, _LEVELS, _LEVELS // 8), np.uint8)
    for lowest in range(_LEVELS - 1):
        highest = np.arange(lowest + 1, _LEVELS)[:, None]
        scale = 255.0 / (highest - lowest)
        pillow = np.trunc(level * scale + -lowest * scale)
        exact = 255 * (level - lowest) // (highest - lowest)
        occurs = (level >= lowest) & (level <= highest)
        short[lowest, lowest + 1 :] = np.packbits(occurs & (pillow < exact), axis=-1)
    sets, set_of = np.unique(short.reshape(-1, _LEVELS // 8), axis=0, return_inverse=True)
    return sets, set_of.reshape(_LEVELS, _LEVELS).astype(np.int16)
