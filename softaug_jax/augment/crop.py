"""Soft and hard crops by an offset (arXiv:2211.04625, section 4.1)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from softaug_jax import crops
from softaug_jax.augment.transform import fully_visible, image_size
from softaug_jax.checks import check_count


class SoftCrop(NamedTuple):
    """Shifts the image by a normal offset; the less is left, the softer the target."""

    sigma: float = 0.3  # standard deviation of the offset, as a fraction of the longer edge
    # What it uncovers, per channel or one for all; 0 after normalisation is the mean colour.
    fill: tuple[float, ...] = (0.0,)
    rounding: str = "truncate"

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Offsets (ty, tx), int32 [B, 2]."""
        return crops.sample_offsets(key, (batch,), size=size, sigma=self.sigma, rounding=self.rounding)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        return shift(images, draws, self.fill), crops.crop_visibility(draws, image_size(images))


class HardCrop(NamedTuple):
    """Shifts the image by a uniform offset of at most `pad_px`; the target stays hard, whatever is hidden."""

    pad_px: int = 4
    fill: tuple[float, ...] = (0.0,)

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Offsets (ty, tx), int32 [B, 2], uniform in [-pad_px, pad_px]; ValueError if pad_px is no whole number."""
        check_count("pad_px", self.pad_px, at_least=0)
        return jax.random.randint(key, (batch, 2), -self.pad_px, self.pad_px + 1)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        return shift(images, draws, self.fill), fully_visible(images)


def shift(images: jax.Array, offsets: jax.Array, fill: tuple[float, ...]) -> jax.Array:
    """`crops.crop` with the fill as a tuple of one value, or of one a channel."""
    return crops.crop(images, offsets, fill[0] if len(fill) == 1 else np.asarray(fill))
