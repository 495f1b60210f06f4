"""Horizontal flip."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.transform import fully_visible
from softaug_jax.checks import check_scalar


class Flip(NamedTuple):
    """Mirrors an image left to right, with some probability."""

    probability: float = 0.5

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Which images to flip, bool [B]; ValueError if the probability is not in [0, 1]."""
        check_scalar("probability", self.probability, at_least=0, at_most=1)
        return jax.random.bernoulli(key, self.probability, (batch,))

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        flip = draws.reshape(-1, 1, 1, 1)
        return jnp.where(flip, images[:, :, ::-1], images), fully_visible(images)
