"""Rectangles of pixels: corners (y0, x0, y1, x1), half open, int32 [B, 4]. All zeros is an empty one."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def mask(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Which pixels of an image of `size` (H, W) lie in its box, bool [B, H, W, 1]."""
    rows = _between(boxes[:, 0], boxes[:, 2], size[0])[:, :, None, None]
    columns = _between(boxes[:, 1], boxes[:, 3], size[1])[:, None, :, None]
    return rows & columns


def share(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Area of each box as a share of the image's, float32 [B]; the boxes must lie inside the image."""
    area_px = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area_px.astype(jnp.float32) / (size[0] * size[1])


def around(centers: jax.Array, sides: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Boxes of `sides` (height, width) around `centers` (y, x), both int [B, 2], cut off at the image's edges."""
    limit = jnp.array(size)[None]
    start = centers - sides // 2
    return jnp.concatenate([jnp.clip(start, 0, limit), jnp.clip(start + sides, 0, limit)], axis=1).astype(jnp.int32)


def _between(start: jax.Array, stop: jax.Array, length: int) -> jax.Array:
    place = jnp.arange(length)[None]
    return (place >= start[:, None]) & (place < stop[:, None])
