"""Brightness, colour, contrast and sharpness: each image blended with a poorer version of itself, in one pass.

Bit for bit Pillow's `ImageEnhance`, which blends in float32 and truncates.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.augment.magnitudes import OPERATIONS, Space, by_operation, signed
from softaug_jax.augment.transform import image_size

_BRIGHTNESS, _COLOR, _CONTRAST, _SHARPNESS = (
    OPERATIONS.index(name) for name in ("Brightness", "Color", "Contrast", "Sharpness")
)


def factors(space: Space) -> np.ndarray:
    """The share of the image in the blend, 1 + magnitude: float32 [14, num_bins, 2 (sign)], 1 for the others."""
    names = ("Brightness", "Color", "Contrast", "Sharpness")
    return by_operation(space, np.float32(1), {name: (1.0 + signed(space[name])).astype(np.float32) for name in names})


def enhance(images: jax.Array, operation: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends images, int32 [B, H, W, C], with what their operation [B] says; a factor [B] of 1 changes nothing."""
    poorer = _poorer(images, operation)
    difference = (images - poorer).astype(jnp.float32)
    # Pillow rounds twice, after the product and after the sum. Compilers like to fuse the two, which rounds once. So
    # the factor is taken in two halves whose products are exact: fused or not, their sum is the product rounded once,
    # and the sum with the poorer image has no product to fuse.
    high = _without_low_bits(factor)
    low = factor - high
    product = _per_image(high) * difference + _per_image(low) * difference
    blended = poorer.astype(jnp.float32) + product
    return jnp.clip(blended, 0.0, 255.0).astype(jnp.int32)


def _poorer(images: jax.Array, operation: jax.Array) -> jax.Array:
    """What each image is blended with: black, its grey version, its mean grey or a smoothed version; int32."""
    grey = _grey(images)
    pixels = images.shape[1] * images.shape[2]
    total = jnp.sum(grey, axis=(1, 2, 3), keepdims=True)
    mean = jax.lax.div(2 * total + pixels, jnp.full_like(total, 2 * pixels))  # rounded half up, all in integers
    operation = _per_image(operation)
    flat = jnp.where(operation == _COLOR, grey, jnp.where(operation == _CONTRAST, mean, 0))
    return jnp.where(operation == _SHARPNESS, _smooth(images), flat)


def _grey(images: jax.Array) -> jax.Array:
    """Luma, int32 [B, H, W, 1], in Pillow's fixed point."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., c : c + 1] for c in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _smooth(images: jax.Array) -> jax.Array:
    """The mean over 3 x 3 pixels, the middle one counted five times, int32; the border is as it was."""
    height, width = image_size(images)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * images
    x, y = np.arange(width), np.arange(height)[:, None]
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    mean = jax.lax.div(2 * total + 13, jnp.full_like(total, 26))  # a 13th, rounded half up
    return jnp.where(inner.reshape(1, height, width, 1), mean, images)


def _without_low_bits(value: jax.Array) -> jax.Array:
    """A float32 with the lower half of its 24 bits cleared: times a grey level it is exact, and so is the rest."""
    bits = jax.lax.bitcast_convert_type(value, jnp.int32)
    return jax.lax.bitcast_convert_type(bits & ~0xFFF, jnp.float32)


def _per_image(value: jax.Array) -> jax.Array:
    return value.reshape(-1, 1, 1, 1)
