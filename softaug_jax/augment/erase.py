"""Augmentations that cover a rectangle: Cutout, and random erasing, hard or soft."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment import boxes
from softaug_jax.augment.transform import fully_visible, image_size
from softaug_jax.checks import as_type, check_count, check_scalar


class Cutout(NamedTuple):
    """Covers a square around a uniform place, cut off at the edges (DeVries and Taylor, arXiv:1708.04552).

    The target stays hard: a comparison of arXiv:2211.04625, Table 1. Its paper has 16 px on CIFAR-10, 8 on CIFAR-100.
    """

    length_px: int = 16
    fill: float = 0.0  # after normalisation, the mean colour

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Boxes (y0, x0, y1, x1), int32 [B, 4]; ValueError if the length is no whole number."""
        check_count("length_px", self.length_px, at_least=0)
        centers = jax.random.randint(key, (batch, 2), 0, jnp.array(size)[None])
        return boxes.around(centers, jnp.full((1, 2), self.length_px), size)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        return cover(images, draws, self.fill), fully_visible(images)


class RandomErasing(NamedTuple):
    """Covers a random rectangle of some images (Zhong et al., arXiv:1708.04896); soft, it says so.

    Soft random erasing has visibility 1 - the erased share, so that targets soften with it (arXiv:2507.16427). Where
    a crop came before, the two visibilities multiply, as if erased and uncovered pixels were independent.

    The aspect ratio is drawn among those that fit the image, where the authors draw area and ratio again; and the
    rectangle is of one colour, where they offer random pixels too. In an image longer than max_aspect / area[1] times
    its shorter edge (8.3 by default) none may fit: the rectangle then spans that edge, may be longer than max_aspect
    times it, and in a wide image may cover less than was drawn.
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)  # share of the image, uniform
    max_aspect: float = 1 / 0.3  # height / width is log-uniform in [1 / max_aspect, max_aspect]
    soft: bool = False
    fill: float = 0.0

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Boxes (y0, x0, y1, x1), int32 [B, 4]; an image that is left alone has an empty one.

        Raises:
          ValueError: if the probability or a share is not in [0, 1], or the largest aspect is below 1.
        """
        check_scalar("probability", self.probability, at_least=0, at_most=1)
        check_scalar("area[0]", self.area[0], above=0, at_most=self.area[1])
        check_scalar("area[1]", self.area[1], at_most=1)
        check_scalar("max_aspect", self.max_aspect, at_least=1)
        erase_key, area_key, aspect_key, place_key = jax.random.split(key, 4)
        height, width = size
        area_px = height * width * jax.random.uniform(area_key, (batch,), minval=self.area[0], maxval=self.area[1])
        limit = jnp.log(self.max_aspect)
        low = jnp.maximum(-limit, jnp.log(area_px / width**2))
        high = jnp.minimum(limit, jnp.log(height**2 / area_px))
        aspect = jnp.exp(jax.random.uniform(aspect_key, (batch,), minval=low, maxval=high))
        sides = jnp.stack([jnp.sqrt(area_px * aspect), jnp.sqrt(area_px / aspect)], axis=1)
        sides = jnp.minimum(jnp.round(sides).astype(jnp.int32), jnp.array(size)[None])
        start = jax.random.randint(place_key, (batch, 2), 0, jnp.array(size)[None] - sides + 1)
        erased = jax.random.bernoulli(erase_key, self.probability, (batch, 1))
        return jnp.where(erased, jnp.concatenate([start, start + sides], axis=1), 0)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        visible = 1.0 - boxes.share(draws, image_size(images)) if self.soft else fully_visible(images)
        return cover(images, draws, self.fill), visible


def cover(images: jax.Array, covered: jax.Array, fill: float) -> jax.Array:
    """Images [B, H, W, C] with the boxes `covered` [B, 4] filled."""
    return jnp.where(boxes.mask(covered, image_size(images)), as_type("fill", fill, images.dtype), images)
