"""Crops by an offset or a box: drawing it, what it leaves visible, the pixels (arXiv:2211.04625, section 4.1).

With jax_enable_x64 the normal numbers are drawn in float64, so that a key gives other offsets and boxes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from softaug_jax import gathers
from softaug_jax.checks import as_type, check_broadcast, check_choice, check_count, check_last_axis, check_scalar
from softaug_jax.numerics import as_float

ROUNDINGS = ("truncate", "nearest")


def sample_offsets(
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    size: tuple[int, int],
    sigma: float = 0.3,
    rounding: str = "truncate",
) -> jax.Array:
    """Draws crop offsets t ~ N(0, sigma L) per axis, truncated to |t| < L (arXiv:2211.04625, section 4.1).

    L is the longer edge, so crops of an image much longer than wide may miss it altogether: of 32 x 128 pixels 40 %
    do. The paper says "with clipping such that |tx| < L"; here, as in the authors' code, draws beyond the limit are
    drawn again (the normal is truncated, not clipped) and rounded toward zero to whole pixels.

    Args:
      key: a JAX random key.
      shape: how many, for example (batch,).
      size: (H, W) of the images, in pixels.
      sigma: standard deviation as a fraction of the longer edge, > 0; a scalar, or for a shape of (B,) one an example,
        [B, 1].
      rounding: to whole pixels, "truncate" (toward zero) or "nearest".

    Returns:
      Offsets (ty, tx), int32 [*shape, 2], in pixels, each in [-(L - 1), L - 1].

    Raises:
      ValueError: if sigma is not positive or of another shape, the shape no tuple, the size not two positive integers,
        or the rounding unknown.

    >>> sample_offsets(jax.random.key(0), (128,), size=(32, 32)).shape
    (128, 2)
    """
    check_scalar("sigma", sigma, above=0)
    check_choice("rounding", rounding, ROUNDINGS)
    shape, longer = _checked_shape(shape), max(_checked_size(size))
    check_broadcast(sigma=jnp.shape(sigma), offsets=(*shape, 2))
    offsets = jax.random.truncated_normal(key, -1.0 / sigma, 1.0 / sigma, (*shape, 2)) * (sigma * longer)
    offsets = jnp.trunc(offsets) if rounding == "truncate" else jnp.round(offsets)
    return jnp.clip(offsets.astype(jnp.int32), 1 - longer, longer - 1)


def crop_visibility(offsets: ArrayLike, size: tuple[int, int]) -> jax.Array:
    """Share of the image that a crop shifted by `offsets` still shows (arXiv:2211.04625, section 4.1).

    v = (H - |ty|) (W - |tx|) / (H W), and 0 where the crop misses the image.

    Args:
      offsets: (ty, tx), int [..., 2], in pixels.
      size: (H, W) in pixels.

    Returns:
      Visibility [...], float, in [0, 1].

    Raises:
      ValueError: if offsets are not integers with a last axis of 2, or the size not two positive integers of a
        product below 2**31.

    >>> print(crop_visibility(jnp.array([[0, 0], [8, 16], [0, -32]]), (32, 32)))
    [1.    0.375 0.   ]
    """
    height, width = _checked_size(size)
    check_scalar("height * width", height * width, at_most=2**31 - 1)
    offsets = _checked_offsets(offsets)
    rows = jnp.maximum(height - jnp.abs(offsets[..., 0]), 0)
    columns = jnp.maximum(width - jnp.abs(offsets[..., 1]), 0)
    visible_px = rows * columns
    # XLA multiplies by the reciprocal instead of dividing, so that n / n may be 0.99999994, as for 44 x 44 pixels.
    return jnp.where(visible_px == height * width, 1.0, as_float(visible_px) / (height * width))


def crop(images: ArrayLike, offsets: ArrayLike, fill: ArrayLike = 0.0) -> jax.Array:
    """Crops of the images' own size, shifted: out[y, x] = in[y + ty, x + tx], and `fill` outside the image.

    Args:
      images: [..., H, W, C], any type; on a TPU, finite.
      offsets: (ty, tx), int [..., 2], in pixels; positive moves the crop down and to the right.
      fill: what the crop shows outside the image, a scalar or one value a channel [C]; of integer images a whole
        number that their type can hold.

    Returns:
      Images [..., H, W, C], of the same type.

    Raises:
      ValueError: if a shape does not fit, the offsets are not integers, or the images' type can't hold the fill
        (looked at unless it is a JAX array).

    >>> print(crop(jnp.arange(9).reshape(3, 3, 1), jnp.array([1, -1]), fill=-1)[..., 0])
    [[-1  3  4]
     [-1  6  7]
     [-1 -1 -1]]
    """
    images, offsets = jnp.asarray(images), _checked_offsets(offsets)
    if images.ndim < 3:
        raise ValueError(f"images have shape {images.shape}; they must be [..., H, W, C].")
    fill = as_type("fill", fill, images.dtype)
    if fill.shape not in ((), images.shape[-1:]):
        raise ValueError(f"fill has shape {fill.shape}; it must be a scalar or one value for each of the channels.")
    lead = check_broadcast(images=images.shape[:-3], offsets=offsets.shape[:-1])
    images = jnp.broadcast_to(images, lead + images.shape[-3:])
    offsets = jnp.broadcast_to(offsets, (*lead, 2))
    images, column_is_inside = _shift(images, offsets[..., 1], axis=-2)
    images, row_is_inside = _shift(images, offsets[..., 0], axis=-3)
    fill = jnp.broadcast_to(fill, images.shape)
    return jnp.where(row_is_inside & column_is_inside, images, fill)


def sample_boxes(
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    size: tuple[ArrayLike, ArrayLike],
    sigma: float = 0.3,
) -> jax.Array:
    """Draws the boxes of the soft crop-and-resize (arXiv:2211.04625, section 4.3.2, "the same sigma principle").

    The paper leaves the details to an appendix that we do not have, so this is a reading of it: the box's centre lies
    t ~ N(0, sigma L) from the image's, truncated to |t| < L, and its side is L s with s ~ N(1, sigma), truncated to
    (0, 2); t and s are drawn for each axis, and L is the image's longer edge.

    Args:
      key: a JAX random key.
      shape: how many, for example (batch,).
      size: (H, W) of the images, in pixels; each a number, or an array that broadcasts to `shape`.
      sigma: standard deviation of shift and side as a fraction of the longer edge, > 0.

    Returns:
      Boxes (y0, x0, y1, x1), float32 [*shape, 4], as fractions of the image's height and width; they may lie outside
      [0, 1] in part or as a whole.

    Raises:
      ValueError: if sigma or an edge is not positive, the shape no tuple, the size not two edges, or an edge does not
        broadcast to `shape`.

    >>> sample_boxes(jax.random.key(0), (128,), size=(375, 500)).shape
    (128, 4)
    """
    check_scalar("sigma", sigma, above=0)
    shape, size = _checked_shape(shape), _pair(size)
    for name, edge in zip(("height", "width"), size, strict=True):
        check_scalar(name, edge, above=0)
    edges = jnp.stack([jnp.broadcast_to(as_float(edge), shape) for edge in size], -1)
    longer = jnp.max(edges, -1, keepdims=True)
    shift_key, side_key = jax.random.split(key)
    normal = lambda key, limit: sigma * jax.random.truncated_normal(key, -limit, limit, (*shape, 2))
    shift = normal(shift_key, 1.0 / sigma) * longer
    half = (1.0 + normal(side_key, 1.0 / sigma)) * longer / 2.0
    return (0.5 + jnp.concatenate([shift - half, shift + half], -1) / jnp.concatenate([edges, edges], -1)).astype(
        jnp.float32
    )


def box_visibility(boxes: ArrayLike) -> jax.Array:
    """Share of an image's area that a box shows (arXiv:2211.04625, section 4.1, for the boxes of `sample_boxes`).

    Args:
      boxes: corners (y0, x0, y1, x1), [..., 4], as fractions of the image's height and width.

    Returns:
      Visibility [...], float, in [0, 1]; 0 where a box misses the image or is empty.

    Raises:
      ValueError: if the last axis is not 4.

    >>> print(box_visibility(jnp.array([[0, 0, 1, 1], [-1, 0.5, 0.5, 2], [1.5, 0, 2, 1]])))
    [1.   0.25 0.  ]
    """
    boxes = as_float(boxes)
    check_last_axis("boxes", boxes, 4, "(y0, x0, y1, x1)")
    return _area(jnp.clip(boxes, 0.0, 1.0))


def box_iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> jax.Array:
    """Intersection over union of boxes (y0, x0, y1, x1), the IoU of arXiv:2211.04625, Eqs. 9 and 10.

    Args:
      boxes_a: corners, [..., 4], in any one unit; a box with y1 <= y0 or x1 <= x0 is empty.
      boxes_b: the same, [..., 4], broadcast against `boxes_a`.

    Returns:
      IoU [...], float, in [0, 1]; 0 where both boxes are empty.

    Raises:
      ValueError: if a last axis is not 4, or the shapes do not broadcast.

    >>> print(box_iou(jnp.array([0, 0, 2, 2]), jnp.array([1, 0, 3, 2])))
    0.33333334
    """
    boxes_a, boxes_b = as_float(boxes_a), as_float(boxes_b)
    check_last_axis("boxes_a", boxes_a, 4, "(y0, x0, y1, x1)")
    check_last_axis("boxes_b", boxes_b, 4, "(y0, x0, y1, x1)")
    lead = check_broadcast(boxes_a=boxes_a.shape, boxes_b=boxes_b.shape)
    boxes_a, boxes_b = jnp.broadcast_to(boxes_a, lead), jnp.broadcast_to(boxes_b, lead)
    overlap = jnp.concatenate(
        [jnp.maximum(boxes_a[..., :2], boxes_b[..., :2]), jnp.minimum(boxes_a[..., 2:], boxes_b[..., 2:])], -1
    )
    intersection = _area(overlap)
    union = _area(boxes_a) + _area(boxes_b) - intersection
    return intersection / jnp.where(union > 0, union, 1.0)


def _area(boxes: jax.Array) -> jax.Array:
    return jnp.prod(jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)


def _shift(images: jax.Array, offset: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Moves each image along one axis; returns it and which of its pixels came from inside, both of its rank."""
    length = images.shape[axis]
    source = offset[..., None] + jnp.arange(length, dtype=offset.dtype).reshape((1,) * offset.ndim + (length,))
    inside = jnp.expand_dims((source >= 0) & (source < length), (-2, -1) if axis == -3 else (-3, -1))
    return gathers.take_along(images, source, axis), inside


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = _pair(size)
    return check_count("height", height, at_least=1), check_count("width", width, at_least=1)


def _pair(size: Any) -> tuple[Any, Any]:
    try:
        height, width = size
    except (TypeError, ValueError):
        raise ValueError(f"size = {size} must be (H, W), two numbers of pixels.") from None
    return height, width


def _checked_shape(shape: Any) -> tuple[int, ...]:
    try:
        return tuple(shape)
    except TypeError:
        raise ValueError(f"shape = {shape} must be a tuple, for example ({shape},).") from None


def _checked_offsets(offsets: ArrayLike) -> jax.Array:
    """As int32: sums and products of pixel numbers overflow narrower types."""
    offsets = jnp.asarray(offsets)
    check_last_axis("offsets", offsets, 2, "(ty, tx)")
    if not jnp.issubdtype(offsets.dtype, jnp.integer):
        raise ValueError(f"offsets have dtype {offsets.dtype}; they must be integers, whole pixels.")
    return offsets.astype(jnp.int32)
