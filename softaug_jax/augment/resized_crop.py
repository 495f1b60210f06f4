"""Random resized crop: a box of random area and shape, enlarged to the size of the image."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.transform import fully_visible, image_size
from softaug_jax.checks import check_last_axis, check_scalar

TRIES = 10  # draws of a box before it is the central one


class ResizedCrop(NamedTuple):
    """Cuts a box out of the image and enlarges it to the image's size (Szegedy et al., arXiv:1409.4842).

    The distribution and the pixels are those of torchvision's `RandomResizedCrop`. The target stays hard: what two
    views of an image have in common is the pair's affair (`Pair`).
    """

    scale: tuple[float, float] = (0.2, 1.0)  # share of the image's area, uniform
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height, log-uniform

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Boxes (y0, x0, y1, x1) inside images of `size` (H, W), in whole pixels, int32 [B, 4].

        Of ten tries the first whose sides fit the image counts, at a uniform place; if none does, the fall-back.

        Raises:
          ValueError: if scale or ratio is not a range of positive, finite numbers, or scale goes beyond 1.
        """
        self.check()
        uniform = jax.random.uniform(key, (batch, 2 * TRIES + 2))
        between = lambda low, high, share: low + (high - low) * share
        area_px = size[0] * size[1] * between(*self.scale, uniform[:, :TRIES])
        ratio = jnp.exp(between(log(self.ratio[0]), log(self.ratio[1]), uniform[:, TRIES : 2 * TRIES]))
        sides = jnp.round(jnp.sqrt(jnp.stack([area_px / ratio, area_px * ratio], -1))).astype(jnp.int32)
        fits = jnp.all((sides > 0) & (sides <= jnp.array(size).reshape(1, 1, 2)), -1)
        first = jnp.argmax(fits, 1).reshape(batch, 1, 1)
        sides = jnp.take_along_axis(sides, first, axis=1).reshape(batch, 2)
        places = jnp.array(size).reshape(1, 2) - sides + 1
        start = jnp.floor(uniform[:, 2 * TRIES :] * places).astype(jnp.int32)
        boxes = jnp.concatenate([start, start + sides], axis=1)
        return jnp.where(fits.any(1, keepdims=True), boxes, jnp.array(self.fall_back(size)).reshape(1, 4))

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns what the boxes show, float32 [B, H, W, C], and visibility 1; an empty box shows the whole image.

        Bilinear with half-pixel centres. Pixels outside the box have no part in it, as if it had been cut out before.
        A box inside the image is never larger than the view, so there is no shrinking, which would need a wider filter.
        """
        check_last_axis("boxes", draws, 4, "(y0, x0, y1, x1)")
        height, width = image_size(images)
        boxes = whole_where_empty(draws, (height, width))
        rows = interpolation(boxes[:, 0], boxes[:, 2], height)
        columns = interpolation(boxes[:, 1], boxes[:, 3], width)
        # In full float32: by default TPUs and GPUs round the factors of a matrix product to 8 or 11 bits.
        exact = jax.lax.Precision.HIGHEST
        tall = jnp.einsum("bij,bjwc->biwc", rows, images.astype(jnp.float32), precision=exact)
        return jnp.einsum("bkw,biwc->bikc", columns, tall, precision=exact), fully_visible(images)

    def fall_back(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The box where no try fits: the largest central one whose width / height is in the range of `ratio`."""
        height, width = size
        box_height, box_width = height, width
        if width < height * self.ratio[0]:
            box_height = round(width / self.ratio[0])
        elif width > height * self.ratio[1]:
            box_width = round(height * self.ratio[1])
        y0, x0 = (height - box_height) // 2, (width - box_width) // 2
        return y0, x0, y0 + box_height, x0 + box_width

    def check(self) -> None:
        """Raises ValueError unless scale and ratio are ranges of positive, finite numbers, scale's within 1."""
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            check_scalar(f"{name}[1]", high)
            check_scalar(f"{name}[0]", low, above=0, at_most=high)
        check_scalar("scale[1]", self.scale[1], at_most=1)


def whole_where_empty(boxes: jax.Array, size: tuple[int, int]) -> jax.Array:
    """The boxes [B, 4], with the whole image of `size` (H, W) in place of empty ones."""
    boxes = jnp.asarray(boxes)
    empty = jnp.any(boxes[:, 2:] <= boxes[:, :2], axis=1, keepdims=True)
    return jnp.where(empty, jnp.array([0, 0, *size], boxes.dtype).reshape(1, 4), boxes)


def interpolation(start: jax.Array, stop: jax.Array, length: int) -> jax.Array:
    """Weights of bilinear interpolation along one axis.

    The centre of output pixel i lies at (i + 1/2) (stop - start) / length of the box. That is between the centres of
    two of its pixels, or beyond the outermost, which then counts alone. Whole numbers as far as possible, so that a box
    as long as the output has weights of exactly 0 and 1.

    Args:
      start: first pixel of each box, int [B].
      stop: the one after its last, int [B].
      length: of the image and of the output, in pixels.

    Returns:
      The share of source pixel j in output pixel i, float32 [B, length (i), length (j)]; rows add up to 1.
    """
    start, span = start.reshape(-1, 1, 1), (stop - start).reshape(-1, 1, 1)
    unit = 2 * length
    place = (2 * jnp.arange(length).reshape(1, -1, 1) + 1) * span - length  # from the first pixel's centre, in 1 / unit
    place = jnp.clip(place, 0, unit * (span - 1))
    share_of_next = (place % unit).astype(jnp.float32) / unit
    source = jnp.arange(length).reshape(1, 1, -1) - (start + place // unit)
    return jnp.where(source == 0, 1.0 - share_of_next, jnp.where(source == 1, share_of_next, 0.0))
