"""Brightness, colour, contrast and sharpness: each image blended with a poorer version of itself, in one pass.

Bit for bit Pillow's `ImageEnhance`, which blends in float32 and truncates.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.augment.magnitudes import OPERATIONS, Space, by_operation, signed

_NAMES = ("Brightness", "Color", "Contrast", "Sharpness")
_, _COLOR, _CONTRAST, _SHARPNESS = (OPERATIONS.index(name) for name in _NAMES)


def factors(space: Space) -> np.ndarray:
    """The share of the image in the blend, 1 + magnitude: float32 [14, num_bins, 2 (sign)], 1 for the others."""
    return by_operation(space, np.float32(1), {name: (1.0 + signed(space[name])).astype(np.float32) for name in _NAMES})


def enhance(planes: Sequence[jax.Array], operation: jax.Array, factor: jax.Array) -> list[jax.Array]:
    """Blends images with what their operation [B] says; a factor [B] of 1 changes nothing.

    Args:
      planes: the channels, int32 [B, H, W] each, of at most 8.4 million pixels (2899 x 2899): the sum of the grey
        levels of more may not fit into int32.
      operation: index into OPERATIONS, int [B].
      factor: the image's share in the blend, float32 [B].
    """
    # Pillow rounds twice, after the product and after the sum. Compilers like to fuse the two, which rounds once. So
    # the factor is taken in two halves whose products are exact: fused or not, their sum is the product rounded once,
    # and the sum with the poorer image has no product to fuse.
    high = _without_low_bits(factor)
    low = factor - high
    flat, operation = _flat(planes, operation), _per_image(operation)

    def blend(plane: jax.Array, smooth: jax.Array) -> jax.Array:
        poorer = jnp.where(operation == _SHARPNESS, smooth, flat)
        difference = (plane - poorer).astype(jnp.float32)
        product = _per_image(high) * difference + _per_image(low) * difference
        return jnp.clip(poorer.astype(jnp.float32) + product, 0.0, 255.0).astype(jnp.int32)

    return [blend(plane, smooth) for plane, smooth in zip(planes, _smooth(planes), strict=True)]


def _flat(planes: Sequence[jax.Array], operation: jax.Array) -> jax.Array:
    """What each image is blended with, if it is not made sharper: black, its grey version or its mean grey; int32."""
    grey = _grey(planes)
    pixels = grey.shape[1] * grey.shape[2]
    total = jnp.sum(grey, axis=(1, 2), keepdims=True)
    mean = _rounded_quotient(total, pixels)
    operation = _per_image(operation)
    return jnp.where(operation == _COLOR, grey, jnp.where(operation == _CONTRAST, mean, 0))


def _grey(planes: Sequence[jax.Array]) -> jax.Array:
    """Luma, int32 [B, H, W], in Pillow's fixed point."""
    if len(planes) == 1:
        return planes[0]
    red, green, blue = planes
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _smooth(planes: Sequence[jax.Array]) -> list[jax.Array]:
    """The mean over 3 x 3 pixels, the middle one counted five times, int32; the border is as it was."""
    _, height, width = planes[0].shape
    x, y = np.arange(width), np.arange(height)[:, None]
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)

    if len(planes) == 1:
        totals = [_weighted_sum(planes[0])]
    else:
        red, green, blue = planes
        two = _weighted_sum(red | blue << 16)  # red's sum and blue's in one, as neither is above 13 * 255
        totals = [two & 0xFFFF, _weighted_sum(green), two >> 16]
    means = [_rounded_quotient(total, 13) for total in totals]
    return [jnp.where(inner, mean, plane) for mean, plane in zip(means, planes, strict=True)]


def _rounded_quotient(total: jax.Array, count: int) -> jax.Array:
    """total / count, rounded half up, all in integers; the half that an odd count's // drops can't decide."""
    return jax.lax.div(total + count // 2, jnp.full_like(total, count))


def _weighted_sum(plane: jax.Array) -> jax.Array:
    """The sum over 3 x 3 pixels, the middle one counted five times."""
    padded = jnp.pad(plane, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * plane


def _without_low_bits(value: jax.Array) -> jax.Array:
    """A float32 with the lower half of its 24 bits cleared: times a grey level it is exact, and so is the rest."""
    bits = jax.lax.bitcast_convert_type(value, jnp.int32)
    return jax.lax.bitcast_convert_type(bits & ~0xFFF, jnp.float32)


def _per_image(value: jax.Array) -> jax.Array:
    return value.reshape(-1, 1, 1)
