"""Augmentations that mix an image with another of its batch: Mixup and CutMix, comparisons of the paper's Table 1.

An image's partner is its neighbour: examples 0 and 1, 2 and 3 and so on change places. A training batch is in random
order already, so a neighbour is as random a partner as the authors' random permutation gives; and no image has to
travel to another device. The batch must be even, on every device.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from softaug_jax.augment import boxes
from softaug_jax.augment.transform import Draws, image_size
from softaug_jax.checks import check_scalar


class Mix(Protocol):
    """Mixes each image with its partner. Draws of zero must leave the images as they are."""

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> Draws:
        """Draws the parameters for `batch` images of `size` (H, W)."""
        ...

    def apply(self, images: jax.Array, draws: Draws) -> tuple[jax.Array, jax.Array]:
        """Returns the images [B, H, W, C], and which share of each is its own, [B]; the rest is its partner's."""
        ...


class Mixup(NamedTuple):
    """Adds images up: share x + (1 - share) x', share ~ Beta(alpha, alpha), one a batch (arXiv:1710.09412)."""

    alpha: float = 1.0

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """The partner's share, float32 [B]; ValueError unless alpha is positive."""
        check_scalar("alpha", self.alpha, above=0)
        return jnp.broadcast_to(jax.random.beta(key, self.alpha, self.alpha), (batch,))

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        other = draws.reshape(-1, 1, 1, 1)
        return (1.0 - other) * images + other * partner(images), 1.0 - draws


class CutMix(NamedTuple):
    """Pastes a rectangle of the partner, of area 1 - Beta(alpha, alpha) before it is cut off (arXiv:1905.04899)."""

    alpha: float = 1.0
    probability: float = 0.5  # of a batch; the authors' on CIFAR

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Boxes (y0, x0, y1, x1), int32 [B, 4], one and the same for the batch.

        Raises:
          ValueError: unless alpha is positive and the probability in [0, 1].
        """
        check_scalar("alpha", self.alpha, above=0)
        check_scalar("probability", self.probability, at_least=0, at_most=1)
        mix_key, share_key, center_key = jax.random.split(key, 3)
        side = jnp.sqrt(1.0 - jax.random.beta(share_key, self.alpha, self.alpha))
        sides = (side * jnp.array(size)).astype(jnp.int32)[None]
        box = boxes.around(jax.random.randint(center_key, (1, 2), 0, jnp.array(size)[None]), sides, size)
        box = jnp.where(jax.random.bernoulli(mix_key, self.probability), box, 0)
        return jnp.broadcast_to(box, (batch, 4))

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = image_size(images)
        return jnp.where(boxes.mask(draws, size), partner(images), images), 1.0 - boxes.share(draws, size)


def partner(values: jax.Array) -> jax.Array:
    """The values [B, ...] of each example's partner: neighbours change places; ValueError if the batch is odd."""
    if values.shape[0] % 2:
        raise ValueError(f"A batch of {values.shape[0]} can't be mixed in pairs: it must be even.")
    pairs = values.reshape(values.shape[0] // 2, 2, *values.shape[1:])
    return pairs[:, ::-1].reshape(values.shape)


def mix_targets(targets: jax.Array, weights: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Targets and weights whose loss is share * own + (1 - share) * partner's, for any loss linear in the target.

    Args:
      targets: of the images before they were mixed, [B, N].
      weights: the same, [B].
      share: of each mixed image that is its own, [B].

    Returns:
      Targets [B, N], each summing to 1 (to 0 where neither image of a pair counts anything), and weights [B].

    >>> targets, weights = mix_targets(jnp.eye(2), jnp.array([0.75, 0.25]), jnp.array([0.5, 1.0]))
    >>> print(weights, targets)
    [0.5  0.25] [[0.75 0.25]
     [0.   1.  ]]
    """
    own, other = share * weights, (1.0 - share) * partner(weights)
    mixed = own + other
    total = jnp.where(mixed > 0, mixed, 1.0)[:, None]
    return own[:, None] / total * targets + other[:, None] / total * partner(targets), mixed
