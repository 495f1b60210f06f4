"""Shears, translations and rotations of a batch in one resampling, with Pillow's nearest-neighbour arithmetic.

Pillow walks over the output in fixed point, 16 bits of it behind the point. The coefficients of every operation, bin
and sign are worked out on the host in float64; the device adds and shifts integers, and so reads the pixels that Pillow
reads.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax import gathers, target
from softaug_jax.augment.magnitudes import Space, by_operation, signed

_BITS = 16  # behind the point
ONE = 1 << _BITS
_KERNEL_PIXELS = 512 * 512  # at most: of more than 768 x 768 a v4 has no memory for an image and its copy


def coefficients(space: Space, size: tuple[int, int]) -> np.ndarray:
    """Where each operation reads: int32 [14, num_bins, 2 (sign), 6], the identity for those that move nothing.

    The six are (xx, xy, x0, yx, yy, y0): output pixel (x, y) shows the input's x0 + xx x + xy y across and
    y0 + yx x + yy y down, in units of 2**-16 pixels.
    """
    height, width = size
    shear_x, shear_y = signed(space["ShearX"]), signed(space["ShearY"])
    across, down = np.trunc(signed(space["TranslateX"])), np.trunc(signed(space["TranslateY"]))
    angle = np.radians(signed(space["Rotate"]))
    # Rounded as Pillow does, which makes a quarter turn exact.
    cos, sin = np.round(np.cos(angle), 15), np.round(np.sin(angle), 15)
    middle_x, middle_y = width / 2, height / 2
    return by_operation(
        space,
        _fixed_point(1, 0, 0, 0, 1, 0),
        {
            "ShearX": _fixed_point(1, shear_x, 0, 0, 1, 0),
            "ShearY": _fixed_point(1, 0, 0, shear_y, 1, 0),
            "TranslateX": _fixed_point(1, 0, -across, 0, 1, 0),
            "TranslateY": _fixed_point(1, 0, 0, 0, 1, -down),
            "Rotate": _fixed_point(
                cos,
                -sin,
                (-cos * middle_x + sin * middle_y) + middle_x,
                sin,
                cos,
                (-sin * middle_x - cos * middle_y) + middle_y,
            ),
        },
    )


def resample(words: jax.Array, coefficients: jax.Array) -> jax.Array:
    """Reads each image [B, H, W], a word a pixel, where its coefficients [B, 6] say; what lies outside is zero."""
    batch, height, width = words.shape
    split = target.split()
    if target.platform() == "tpu" and split is not None and gathers.MOST_PIXELS < height * width <= _KERNEL_PIXELS:
        from softaug_jax.augment import affine_tpu  # late: Pallas is not needed elsewhere

        return affine_tpu.resample(words, coefficients, split)
    xx, xy, x0, yx, yy, y0 = (coefficients[:, i, None, None] for i in range(6))
    x = jnp.arange(width, dtype=jnp.int32).reshape(1, 1, width)
    y = jnp.arange(height, dtype=jnp.int32).reshape(1, height, 1)
    from_x, from_y = along(x0, xx, xy, x, y), along(y0, yx, yy, x, y)
    inside = is_inside(from_x, from_y, (height, width))
    from_y, from_x = (jnp.where(inside, at, 0).reshape(batch, -1) for at in (from_y, from_x))
    return jnp.where(inside, gathers.pixels(words, from_y, from_x).reshape(words.shape), 0)


def along(
    start: jax.Array, by_x: jax.Array, by_y: jax.Array, x: jax.typing.ArrayLike, y: jax.typing.ArrayLike
) -> jax.Array:
    """Which pixel of the input output pixels (x, y) show, along one axis, by that axis's three coefficients; int32."""
    return (start + by_x * x + by_y * y) >> _BITS


def is_inside(x: jax.Array, y: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Whether pixels lie in an image of this size (H, W)."""
    height, width = size
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def _fixed_point(xx, xy, x0, yx, yy, y0) -> np.ndarray:
    """Six coefficients, numbers or arrays of one shape [...], as int32 [..., 6]; read at the pixels' centres."""
    six = (xx, xy, x0 + xx * 0.5 + xy * 0.5, yx, yy, y0 + yx * 0.5 + yy * 0.5)
    stacked = np.stack(np.broadcast_arrays(*(np.asarray(value, np.float64) for value in six)), axis=-1)
    return np.floor(stacked * 2**_BITS + 0.5).astype(np.int32)
