"""Top-1 error on images of which a square is covered (arXiv:2211.04625, section 4.3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from softaug_jax import metrics
from softaug_jax.checks import check_choice, check_count, check_scalar
from softaug_jax.evals.protocol import Batch, Batches, Predict, add_up, checked_count
from softaug_jax.evals.sums import classification_sums

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the image's area; the paper's lambda
NOISE = "noise"  # a fill: every pixel and channel of the square is a whole number from 0 to 255, each as likely
_NOISE_STREAM = 2**32 - 1  # no example has this number


class Occlusion:
    """Top-1 error with a square over a share of each image, at a random place wholly inside it.

    The place, and the noise that may fill it, depend on the seed, the square's side, the draw and the example's number
    alone: batch size, padding, devices and the other shares change nothing.
    """

    def __init__(
        self,
        predict: Predict,
        batches: Batches,
        *,
        shares: Sequence[float] = SHARES,
        draws: int = 1,
        seed: int = 0,
        fill: ArrayLike | str,
    ) -> None:
        """Args beside `predict` and `batches`, which `protocol` describes:

        shares: of the image's area to cover, each in [0, 1].
        draws: how many places to try for each example; the error is their mean.
        seed: of the places and the noise.
        fill: the square's colour, in [0, 255], a scalar or one value a channel; or "noise", uniform and drawn for each
          pixel and channel. The paper does not say; ours is the mean colour of the training set.
        """
        check_shares("shares", shares)
        check_count("draws", draws, at_least=1)
        if isinstance(fill, str):
            check_choice("fill", fill, (NOISE,))
        self.predict = predict
        self.batches = batches
        self.shares = tuple(shares)
        self.names = [f"{share:.0%}" for share in shares]
        self.draws = draws
        self.key = jax.random.key(seed)
        self.fill = None if isinstance(fill, str) else jnp.asarray(fill, jnp.float32)

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "occlusion/top1_error@20%" and so on, one for each share.

        With several draws also "occlusion/top1_error_std@20%", how much the error differs from draw to draw: the
        standard deviation, with draws - 1 degrees of freedom. Where nothing is covered all draws are the same.
        """
        # The batches are read once for all shares: reading them may cost more than predicting.
        sums = add_up([self._sums(state, batch, share) for share in self.shares] for batch in self.batches)
        for name, draws in zip(self.names, sums, strict=True):
            errors = [float(draw.wrong) / checked_count(draw.examples) for draw in draws]
            yield f"occlusion/top1_error@{name}", sum(errors) / len(errors)
            if self.draws > 1:
                yield f"occlusion/top1_error_std@{name}", float(np.std(errors, ddof=1)) if len(errors) > 1 else 0.0

    def _sums(self, state: Any, batch: Batch, share: float) -> list[metrics.ClassificationSums]:
        """Of each draw."""
        parts = []
        for draw in range(self.draws if _side(batch, share) else 1):  # without a square all draws are the same
            images = self.occluded(batch, share, draw)
            parts.append(classification_sums(self.predict(state, images), batch["label"], batch["mask"]))
        return parts

    def occluded(self, batch: Batch, share: float, draw: int = 0) -> jax.Array:
        """The batch's images as the network is shown them, float32 [B, H, W, C], pixels from 0 to 255."""
        return _occluded(batch, share, self.key, draw, self.fill)


class Occluded:
    """The batches of a set, a square over a share of each image, where Occlusion's first draw has it."""

    def __init__(self, batches: Batches, *, share: float, seed: int = 0, fill: ArrayLike) -> None:
        """Args: those of Occlusion; each image comes as float32."""
        check_scalar("share", share, at_least=0, at_most=1)
        self.batches, self.share = batches, share
        self.key, self.fill = jax.random.key(seed), jnp.asarray(fill, jnp.float32)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield {**batch, "image": _occluded(batch, self.share, self.key, 0, self.fill)}


def check_shares(name: str, shares: Sequence[float]) -> None:
    """Raises ValueError unless each share is in [0, 1] and has a name of its own, as whole percents."""
    for share in shares:
        check_scalar(name, share, at_least=0, at_most=1)
    if len({f"{share:.0%}" for share in shares}) < len(shares):
        raise ValueError(f"{name} = {tuple(shares)} must differ by at least a percent.")


def square_side(share: float, size: tuple[int, int]) -> int:
    """Side in pixels of the square that covers `share` of an image of `size` (H, W), at most the shorter edge.

    >>> [square_side(share, (224, 224)) for share in SHARES]
    [0, 100, 142, 174, 200]
    """
    check_scalar("share", share, at_least=0, at_most=1)
    height, width = size
    return min(round(sqrt(share * height * width)), height, width)


def square_corners(
    index: ArrayLike, *, key: jax.Array, draw: ArrayLike, side: ArrayLike, size: tuple[int, int]
) -> jax.Array:
    """Draws the upper left corner of each example's square, uniform over all places wholly inside the image.

    Args:
      index: the examples' numbers, int [B].
      key: of the seed, the same for all examples, draws and sides.
      draw: which of several draws, an integer.
      side: of the square, in pixels, an integer of at most min(H, W).
      size: (H, W), in pixels.

    Returns:
      Corners (y, x), int32 [B, 2], with y in [0, H - side] and x in [0, W - side].
    """
    check_scalar("side", side, at_least=0, at_most=min(size))
    key = _square_key(key, side, draw)
    places = jnp.array([size[0] - side + 1, size[1] - side + 1])
    return jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(key, i), (2,), 0, places))(jnp.asarray(index))


def noise(
    index: ArrayLike, *, key: jax.Array, draw: ArrayLike, side: ArrayLike, shape: tuple[int, int, int]
) -> jax.Array:
    """Draws each example's noise, independent of its square's place.

    Args:
      index, key, draw, side: those of `square_corners`.
      shape: of an image, (H, W, C).

    Returns:
      Whole numbers from 0 to 255, each as likely, float32 [B, H, W, C].
    """
    key = jax.random.fold_in(_square_key(key, side, draw), _NOISE_STREAM)
    draw_one = lambda i: jax.random.randint(jax.random.fold_in(key, i), shape, 0, 256)
    return jax.vmap(draw_one)(jnp.asarray(index)).astype(jnp.float32)


def occlude(images: ArrayLike, corners: ArrayLike, side: ArrayLike, fill: ArrayLike) -> jax.Array:
    """Covers a square of each image.

    Args:
      images: [B, H, W, C], any type, pixels from 0 to 255.
      corners: the squares' upper left corners (y, x), int [B, 2].
      side: of the squares, in pixels; 0 covers nothing.
      fill: what covers them, in the images' scale: a colour, as a scalar or one value a channel [C], or images
        [B, H, W, C] that the squares show.

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


def _covers(start: jax.Array, side: ArrayLike, length: int) -> jax.Array:
    """Which of `length` places each interval [start, start + side) holds, bool [B, length]."""
    distance = jnp.arange(length)[None, :] - start[:, None]
    return (distance >= 0) & (distance < side)


def _side(batch: Batch, share: float) -> int:
    """Of the square over a share of the batch's images."""
    height, width = batch["image"].shape[1:3]
    return square_side(share, (height, width))


def _square_key(key: jax.Array, side: ArrayLike, draw: ArrayLike) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, side), draw)


def _occluded(batch: Batch, share: float, key: jax.Array, draw: int, fill: jax.Array | None) -> jax.Array:
    """The batch's images, the square covered with `fill`, or with noise where it is None."""
    return _occlude_batch(batch["image"], batch["index"], key, draw, fill, _side(batch, share))


@jax.jit
def _occlude_batch(
    images: jax.Array, index: jax.Array, key: jax.Array, draw: ArrayLike, fill: jax.Array | None, side: ArrayLike
) -> jax.Array:
    height, width, channels = images.shape[1:]
    corners = square_corners(index, key=key, draw=draw, side=side, size=(height, width))
    if fill is None:
        fill = noise(index, key=key, draw=draw, side=side, shape=(height, width, channels))
    return occlude(images, corners, side, fill)
