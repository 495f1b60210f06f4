"""Noise: as a transform of its own, the second that the paper softens, and in what a crop uncovers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.crop import HardCrop, SoftCrop, shift
from softaug_jax.checks import check_scalar


class AdditiveNoise(NamedTuple):
    """Turns a share r of each image into noise, (1 - r) x + r e; its visibility is 1 - r.

    From arXiv:2211.04625, section 5 and Appendix Table 6.

    r = min(abs(n), 1) sigma, with n ~ N(0, 1) an image and e ~ N(0, 1) a number: for normalised images.
    """

    sigma: float = 0.5  # the largest share

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> dict[str, jax.Array]:
        """The shares r, float32 [B], and a seed for each image's noise, uint32 [B].

        Raises:
          ValueError: if sigma is not in (0, 1].
        """
        check_scalar("sigma", self.sigma, above=0, at_most=1)
        share_key, noise_key = jax.random.split(key)
        share = self.sigma * jnp.minimum(jnp.abs(jax.random.normal(share_key, (batch,))), 1.0)
        return {"share": share, "seed": jax.random.bits(noise_key, (batch,), jnp.uint32)}

    def apply(self, images: jax.Array, draws: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        share = draws["share"].reshape(-1, 1, 1, 1)
        return (1.0 - share) * images + share * _normal(draws["seed"], images), 1.0 - draws["share"]


class NoisyFill(NamedTuple):
    """A crop that uncovers its fill + sigma e, e ~ N(0, 1) a number, as the authors' code does; normalised images."""

    crop: SoftCrop | HardCrop
    sigma: float = 0.01

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> dict[str, jax.Array]:
        """The crop's draws, and a seed for each image's noise, uint32 [B].

        Raises:
          ValueError: if sigma is not positive.
        """
        check_scalar("sigma", self.sigma, above=0)
        offset_key, noise_key = jax.random.split(key)
        seed = jax.random.bits(noise_key, (batch,), jnp.uint32)
        return {"offset": self.crop.sample(offset_key, batch, size), "seed": seed}

    def apply(self, images: jax.Array, draws: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        cropped, visibility = self.crop.apply(images, draws["offset"])
        shown = shift(jnp.ones_like(images), draws["offset"], fill=(0.0,))
        return cropped + (1.0 - shown) * self.sigma * _normal(draws["seed"], images), visibility


def _normal(seeds: jax.Array, images: jax.Array) -> jax.Array:
    """Standard normal numbers in the images' shape [B, H, W, C], each image's by its own seed."""
    return jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), images.shape[1:]))(seeds)
