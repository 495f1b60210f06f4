"""Reading arrays by index without a gather, for TPUs, which read one element or slice after another.

By the TPU compiler's own cost model a v5e gathers a number in some 10 cycles: RandAugment would take longer than the
whole step of ResNet-18 on CIFAR. Matrix and vector units do the same in a twentieth of that or less.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from softaug_jax.explicit_axes import as_automatic

MOST_PIXELS = 64 * 64  # of an image whose pixels are read by products, at a cost of H * W * (H + W)
_EXACT = jax.lax.Precision.HIGHEST  # by default a TPU rounds the factors of a product to 8 bits


def take_along(images: jax.Array, source: jax.Array, axis: int) -> jax.Array:
    """Each image's slices `source` along one axis: by gather, and on a TPU by products with zeros and ones.

    Args:
      images: [..., H, W, C], finite.
      source: int, [..., L], as many as the axis is long; where it is outside of the image the result is any number.
      axis: -3 (rows) or -2 (columns).
    """
    products = take_by_products if _is_exact_in_float32(images.dtype) else take_by_gather
    take = partial(
        jax.lax.platform_dependent, tpu=partial(products, axis=axis), default=partial(take_by_gather, axis=axis)
    )
    return as_automatic(take, images, source)


def take_by_gather(images: jax.Array, source: jax.Array, axis: int) -> jax.Array:
    """`take_along` as other devices do it."""
    source = jnp.expand_dims(source, (-2, -1) if axis == -3 else (-3, -1))
    return jnp.take_along_axis(images, jnp.clip(source, 0, images.shape[axis] - 1), axis=axis)


def take_by_products(images: jax.Array, source: jax.Array, axis: int) -> jax.Array:
    """`take_along` as a TPU does it, exactly: a number times one, added to zeros."""
    is_source = jax.nn.one_hot(source, images.shape[axis], dtype=jnp.float32)
    subscripts = {-3: "...oh,...hwc->...owc", -2: "...ow,...hwc->...hoc"}[axis]
    return jnp.einsum(subscripts, is_source, images.astype(jnp.float32), precision=_EXACT).astype(images.dtype)


def look_up(table: jax.Array, index: jax.Array) -> jax.Array:
    """`table[b, index[b, p]]`, int32: by gather, and on a TPU by choosing between halves, quarters, ... of the table.

    Args:
      table: bytes, int32 [B, 256].
      index: int32 [B, P], 0 to 255.
    """
    return jax.lax.platform_dependent(table, index, tpu=look_up_by_choice, default=look_up_by_gather)


def look_up_by_gather(table: jax.Array, index: jax.Array) -> jax.Array:
    """`look_up` as other devices do it."""
    return jnp.take_along_axis(table, index, axis=1, mode="promise_in_bounds")


def look_up_by_choice(table: jax.Array, index: jax.Array) -> jax.Array:
    """`look_up` as a TPU does it: four bytes in a word, and one of 64 words by the index's upper six bits."""
    place = jnp.array([0, 8, 16, 24], jnp.int32).reshape(1, 1, 4)
    packed = jnp.sum(table.reshape(-1, 64, 4) << place, axis=-1, dtype=jnp.int32)
    words = [packed[:, word : word + 1] for word in range(64)]
    for bit in range(2, 8):
        is_set = (index >> bit) & 1 == 1
        words = [jnp.where(is_set, odd, even) for even, odd in zip(words[::2], words[1::2], strict=True)]
    return (words[0] >> ((index & 3) << 3)) & 255


def pixels(words: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """`words[b, y[b, p], x[b, p]]`: by gather, and on a TPU by products, if they are no more than MOST_PIXELS.

    Args:
      words: int32 [B, H, W], 0 to 2**24 - 1.
      y, x: int32 [B, P], within the image.
    """
    by_products = pixels_by_products if words.shape[1] * words.shape[2] <= MOST_PIXELS else pixels_by_gather
    return jax.lax.platform_dependent(words, y, x, tpu=by_products, default=pixels_by_gather)


def pixels_by_gather(words: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """`pixels` as other devices do it."""
    batch, _, width = words.shape
    return jnp.take_along_axis(words.reshape(batch, -1), y * width + x, axis=1, mode="promise_in_bounds")


def pixels_by_products(words: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """`pixels` as a TPU does it: each pixel's row by a product, and of that its column."""
    _, height, width = words.shape
    is_row, is_column = (jax.nn.one_hot(at, side, dtype=jnp.float32) for at, side in ((y, height), (x, width)))
    rows = jnp.einsum("bph,bhw->bpw", is_row, words.astype(jnp.float32), precision=_EXACT)
    return jnp.sum(rows * is_column, axis=-1).astype(jnp.int32)


def _is_exact_in_float32(dtype: jax.typing.DTypeLike) -> bool:
    return jnp.dtype(dtype).itemsize <= 2 or dtype == jnp.float32
