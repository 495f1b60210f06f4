"""Posterize, solarize, autocontrast and equalize: a table of 256 grey levels per image and channel, and one look-up.

Bit for bit Pillow's `ImageOps`.
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax import gathers, layouts
from softaug_jax.augment import words
from softaug_jax.augment.magnitudes import OPERATIONS, Space, by_operation

_AUTOCONTRAST, _EQUALIZE = OPERATIONS.index("AutoContrast"), OPERATIONS.index("Equalize")
_LEVELS = 256
_LEVEL = np.arange(_LEVELS, dtype=np.int32).reshape(1, 1, _LEVELS)


def bit_masks(space: Space) -> np.ndarray:
    """The bits that Posterize keeps, int32 [14, num_bins], all of them for the other operations."""
    dropped = 8 - space["Posterize"].astype(np.int32)
    return by_operation(space, np.int32(255), {"Posterize": 255 & ~(2**dropped - 1)})


def thresholds(space: Space) -> np.ndarray:
    """The grey level from which on Solarize inverts, int32 [14, num_bins], above all levels for the others."""
    return by_operation(space, np.int32(_LEVELS), {"Solarize": np.ceil(space["Solarize"]).astype(np.int32)})


def remap(pixels: jax.Array, channels: int, operation: jax.Array, mask: jax.Array, threshold: jax.Array) -> jax.Array:
    """Replaces the grey levels of images, words int32 [B, P] before and after, by operation, mask, threshold, [B]."""
    num_pixels = pixels.shape[1]
    darker = count_darker(pixels, channels)
    operation, mask, threshold = (value.reshape(1, -1, 1) for value in (operation, mask, threshold))
    kept = _LEVEL & mask
    plain = jnp.where(kept < threshold, kept, 255 - kept)
    table = jnp.where(operation == _EQUALIZE, _equalized(darker, num_pixels), plain)
    table = jnp.where(operation == _AUTOCONTRAST, _stretched(darker, num_pixels), table)
    planes = words.unpack(pixels, channels)
    return words.pack(gathers.look_up(*pair) for pair in zip(words.stored(table), planes, strict=True))


def count_darker(pixels: jax.Array, channels: int) -> jax.Array:
    """How many pixels of an image are below each grey level: words, int32 [B, P], to int32 [C, B, 256].

    On a CPU by adding one at a time. A TPU is slow at that and fast at matrix products, so on accelerators the upper
    and the lower four bits of a level are rows of 16 zeros and ones, and their product over the pixels counts the
    pairs. (CIFAR-10 on one core, microseconds an image: scatter 3, this product 28, in int8 12, comparing with each of
    the 256 levels 1300. On an accelerator neither was timed.)
    """
    return jax.lax.platform_dependent(
        pixels,
        cpu=partial(darker_by_scatter, channels=channels),
        default=partial(darker_by_products, channels=channels),
    )


def darker_by_scatter(pixels: jax.Array, channels: int) -> jax.Array:
    """`count_darker` by scattered addition."""
    count = lambda row: jnp.zeros(_LEVELS, jnp.int32).at[row].add(1, mode="promise_in_bounds")
    rows = jnp.stack(words.unpack(pixels, channels), axis=1)
    counts = jax.vmap(count)(rows.reshape(-1, rows.shape[-1])).reshape(-1, channels, _LEVELS)
    return jnp.moveaxis(jnp.cumsum(counts, axis=-1) - counts, 1, 0)


def darker_by_products(pixels: jax.Array, channels: int) -> jax.Array:
    """`count_darker` by two matrix products a channel, one to count and one to add up; exact below 2**24 pixels."""
    nibble = jnp.arange(16, dtype=jnp.int32).reshape(1, 16, 1)
    is_darker = jnp.asarray(np.tri(_LEVELS, k=-1, dtype=np.float32))

    def count(rows: jax.Array) -> jax.Array:
        upper = ((rows >> 4)[:, None] == nibble).astype(jnp.bfloat16)
        lower = ((rows & 15)[:, None] == nibble).astype(jnp.bfloat16)
        counts = jnp.einsum("rup,rlp->rul", upper, lower, preferred_element_type=jnp.float32).reshape(-1, _LEVELS)
        return jnp.einsum("rd,ld->rl", counts, is_darker, precision=jax.lax.Precision.HIGHEST)

    # Channel after channel: to join their pixels first costs a TPU more, with large images, than the products.
    rows = words.unpack(layouts.on_tpu(pixels, 0, 1), channels)
    darker = jnp.stack([count(row) for row in rows]).astype(jnp.int32)
    return layouts.on_tpu(darker, 0, 2, 1)


def _equalized(darker: jax.Array, num_pixels: int) -> jax.Array:
    """The table, int32 [C, B, 256], that spreads the levels evenly; the identity where there are too few to spread."""
    below_highest = jnp.max(jnp.where(darker < num_pixels, darker, 0), axis=-1, keepdims=True)
    step = jax.lax.div(below_highest, jnp.full_like(below_highest, 255))
    spread = jax.lax.div((step >> 1) + darker, jnp.broadcast_to(jnp.maximum(step, 1), darker.shape))
    return jnp.where(step > 0, jnp.minimum(spread, 255), _LEVEL)


def _stretched(darker: jax.Array, num_pixels: int) -> jax.Array:
    """The table, int32 [C, B, 256], that takes the lowest level to 0 and the highest to 255."""
    lowest = jnp.sum(darker == 0, axis=-1, keepdims=True, dtype=jnp.int32) - 1  # the last level with none below it
    highest = jnp.sum(darker < num_pixels, axis=-1, keepdims=True, dtype=jnp.int32) - 1
    span = highest - lowest
    # The half keeps the quotient away from the whole numbers, by more than any way of dividing is off.
    above = 255 * jnp.clip(_LEVEL - lowest, 0, span)
    stretched = ((above.astype(jnp.float32) + 0.5) / jnp.maximum(span, 1).astype(jnp.float32)).astype(jnp.int32)
    bits = jnp.asarray(_short_levels())[lowest[..., 0], highest[..., 0]]
    short = ((bits[..., None] >> jnp.arange(32, dtype=jnp.int32).reshape(1, 1, 1, 32)) & 1).reshape(stretched.shape)
    return jnp.where(span > 0, stretched - short, _LEVEL)


@cache
def _short_levels() -> np.ndarray:
    """Where Pillow's autocontrast comes out one level short: int32 [256 (lowest), 256 (highest), 8], a bit a level.

    It computes int(level * scale + offset) in float64, which for 12,094 of the (lowest, highest, level) triples lands
    just below a whole number. Integers can't tell which, so they are looked up.
    """
    level = np.arange(_LEVELS)
    short = np.zeros((_LEVELS, _LEVELS, _LEVELS // 8), np.uint8)
    for lowest in range(_LEVELS - 1):
        highest = np.arange(lowest + 1, _LEVELS)[:, None]
        scale = 255.0 / (highest - lowest)
        pillow = np.trunc(level * scale + -lowest * scale)
        exact = 255 * (level - lowest) // (highest - lowest)
        occurs = (level >= lowest) & (level <= highest)
        short[lowest, lowest + 1 :] = np.packbits(occurs & (pillow < exact), axis=-1, bitorder="little")
    return short.view("<i4").astype(np.int32)
