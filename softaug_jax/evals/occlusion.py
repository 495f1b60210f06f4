"""Top-1 error on images of which a square is covered (arXiv:2211.04625, section 4.3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from softaug_jax import metrics
from softaug_jax.checks import check_scalar
from softaug_jax.evals.protocol import Batch, Batches, Predict, add_up, checked_count

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the image's area; the paper's lambda


class Occlusion:
    """Top-1 error with a square over a share of each image, at a random place wholly inside it.

    The place depends on the seed, the square's side, the draw and the example's number alone: batch size, padding,
    devices and the other shares change nothing.
    """

    def __init__(
        self,
        predict: Predict,
        batches: Batches,
        *,
        shares: Sequence[float] = SHARES,
        draws: int = 1,
        seed: int = 0,
        fill: ArrayLike,
    ) -> None:
        """Args beside `predict` and `batches`, which `protocol` describes:

        shares: of the image's area to cover, each in [0, 1].
        draws: how many places to try for each example; the error is their mean.
        seed: of the places.
        fill: the square's colour, in [0, 255], a scalar or one value a channel. The paper does not say; ours is the
          mean colour of the training set.
        """
        self.names = [f"occlusion/top1_error@{share:.0%}" for share in shares]
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"shares = {tuple(shares)} must differ by at least a percent.")
        for share in shares:
            check_scalar("shares", share, at_least=0, at_most=1)
        check_scalar("draws", draws, at_least=1)
        self.predict = predict
        self.batches = batches
        self.shares = tuple(shares)
        self.draws = draws
        self.seed = seed
        self.fill = jnp.asarray(fill, jnp.float32)

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "occlusion/top1_error@20%" and so on, one for each share."""
        # The batches are read once for all shares: reading them may cost more than predicting.
        sums = add_up([self._sums(state, batch, share) for share in self.shares] for batch in self.batches)
        for name, share_sums in zip(self.names, sums, strict=True):
            yield name, float(share_sums.wrong) / checked_count(share_sums.examples)

    def _sums(self, state: Any, batch: Batch, share: float) -> metrics.ClassificationSums:
        height, width = batch["image"].shape[1:3]
        side = square_side(share, (height, width))
        draws = self.draws if side else 1  # without a square all draws are the same
        parts = []
        for draw in range(draws):
            images = _occlude_batch(batch["image"], batch["index"], self.seed, draw, self.fill, side=side)
            parts.append(_wrong(self.predict(state, images), batch["label"], batch["mask"]))
        return jax.tree.map(lambda *values: sum(values), *parts)


class Occluded:
    """The batches of a set, a square over a share of each image, where Occlusion's first draw has it."""

    def __init__(self, batches: Batches, *, share: float, seed: int = 0, fill: ArrayLike) -> None:
        """Args: those of Occlusion; each image comes as float32."""
        check_scalar("share", share, at_least=0, at_most=1)
        self.batches, self.share, self.seed, self.fill = batches, share, seed, jnp.asarray(fill, jnp.float32)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            height, width = batch["image"].shape[1:3]
            side = square_side(self.share, (height, width))
            images = _occlude_batch(batch["image"], batch["index"], self.seed, 0, self.fill, side=side)
            yield {**batch, "image": images}


def square_side(share: float, size: tuple[int, int]) -> int:
    """Side in pixels of the square that covers `share` of an image of `size` (H, W), at most the shorter edge.

    >>> [square_side(share, (224, 224)) for share in SHARES]
    [0, 100, 142, 174, 200]
    """
    check_scalar("share", share, at_least=0, at_most=1)
    height, width = size
    return min(round(sqrt(share * height * width)), height, width)


def square_corners(
    index: ArrayLike, *, seed: ArrayLike, draw: ArrayLike, side: int, size: tuple[int, int]
) -> jax.Array:
    """Draws the upper left corner of each example's square, uniform over all places wholly inside the image.

    Args:
      index: the examples' numbers, int [B].
      seed: an integer.
      draw: which of several draws, an integer.
      side: of the square, in pixels, at most min(H, W).
      size: (H, W), in pixels.

    Returns:
      Corners (y, x), int32 [B, 2], with y in [0, H - side] and x in [0, W - side].
    """
    if not 0 <= side <= min(size):
        raise ValueError(f"side = {side} must be between 0 and {min(size)}, the shorter edge.")
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), side), draw)
    places = jnp.array([size[0] - side + 1, size[1] - side + 1])
    return jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (2,), 0, places))(jnp.asarray(index))


def occlude(images: ArrayLike, corners: ArrayLike, side: int, fill: ArrayLike) -> jax.Array:
    """Covers a square of each image.

    Args:
      images: [B, H, W, C], any type, pixels from 0 to 255.
      corners: the squares' upper left corners (y, x), int [B, 2].
      side: of the squares, in pixels; 0 covers nothing.
      fill: the squares' colour, in the images' scale, a scalar or one value a channel [C].

    Returns:
      Images [B, H, W, C], float32, in the same scale.

    >>> print(occlude(jnp.full((1, 3, 3, 1), 9), jnp.array([[1, 0]]), 2, 0)[0, ..., 0])
    [[9. 9. 9.]
     [0. 0. 9.]
     [0. 0. 9.]]
    """
    images, corners = jnp.asarray(images, jnp.float32), jnp.asarray(corners)
    covers_row = _covers(corners[:, 0], side, images.shape[1])[:, :, None, None]
    covers_column = _covers(corners[:, 1], side, images.shape[2])[:, None, :, None]
    return jnp.where(covers_row & covers_column, jnp.broadcast_to(jnp.asarray(fill, jnp.float32), images.shape), images)


def _covers(start: jax.Array, side: int, length: int) -> jax.Array:
    """Which of `length` places each interval [start, start + side) holds, bool [B, length]."""
    distance = jnp.arange(length)[None, :] - start[:, None]
    return (distance >= 0) & (distance < side)


@partial(jax.jit, static_argnames="side")
def _occlude_batch(
    images: jax.Array, index: jax.Array, seed: ArrayLike, draw: ArrayLike, fill: jax.Array, *, side: int
) -> jax.Array:
    height, width = images.shape[1:3]
    corners = square_corners(index, seed=seed, draw=draw, side=side, size=(height, width))
    return occlude(images, corners, side, fill)


_wrong = jax.jit(metrics.classification_sums)
