"""Crop-and-resize of images that the host decodes: it cuts the pixels, the device says what the cut left visible.

A box (y0, x0, y1, x1) is in fractions of the height and width of the image as the flip before it in the chain leaves
it. The host (data/image_batches.py) draws it, cuts what it shows and passes it on as the member's draws.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp

from softaug_jax.augment.transform import fully_visible, image_size
from softaug_jax.checks import UsageError, check_last_axis, check_scalar
from softaug_jax.crops import box_visibility


class SoftWindow(NamedTuple):
    """The soft crop-and-resize, `crops.sample_boxes`: the less of the image it shows, the softer the target.

    It comes after the normalisation. The host has filled what lies outside the image with zero bytes, so the members
    of a policy, which come before, see black there; here it becomes 0, the mean colour.
    """

    sigma: float = 0.3  # standard deviation of the box's shift and side, as a fraction of the longer edge

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> NoReturn:
        """Raises UsageError: the device has no pixels left to cut from."""
        refuse_to_draw(self)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the images, 0 where a pixel's centre lies outside the image, and their visibility [B].

        Args:
          images: what the boxes show, normalised, [B, H, W, C].
          draws: the boxes, float [B, 4]; one of all zeros hides nothing.
        """
        check_last_axis("boxes", draws, 4, "(y0, x0, y1, x1)")
        height, width = image_size(images)
        switched_off = jnp.all(draws == 0, axis=1)
        boxes = jnp.where(switched_off.reshape(-1, 1), jnp.array([[0.0, 0.0, 1.0, 1.0]]), draws)
        rows = _shows_image(boxes[:, 0], boxes[:, 2], height)
        columns = _shows_image(boxes[:, 1], boxes[:, 3], width)
        shown = rows[:, :, None, None] & columns[:, None, :, None]
        return jnp.where(shown, images, jnp.zeros_like(images)), box_visibility(boxes)

    def check(self) -> None:
        """Raises ValueError unless sigma is positive."""
        check_scalar("sigma", self.sigma, above=0)


class HardWindow(NamedTuple):
    """The random resized crop (Szegedy et al., arXiv:1409.4842) with torchvision's distribution; the target stays hard.

    The counterpart of `ResizedCrop` where the host decodes the images. The box lies inside the image.
    """

    scale: tuple[float, float] = (0.08, 1.0)  # share of the image's area, uniform
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height, log-uniform

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> NoReturn:
        """Raises UsageError: the device has no pixels left to cut from."""
        refuse_to_draw(self)

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the images [B, H, W, C] as the host has cut them, and visibility 1."""
        return images, fully_visible(images)


def refuse_to_draw(window: SoftWindow | HardWindow) -> NoReturn:
    """Raises UsageError: a window that has come without its boxes."""
    raise UsageError(
        f"{type(window).__name__} is drawn on the host, where the images are decoded, and the batch has no boxes for "
        'it. Set config.data.loader = "tfdata"; the device loader holds whole images of one size and can\'t cut them.'
    )


def _shows_image(start: jax.Array, stop: jax.Array, length: int) -> jax.Array:
    """Which of the `length` pixels along one axis of the boxes have their centre inside the image, bool [B, length]."""
    place = (jnp.arange(length, dtype=jnp.float32) + 0.5) / length
    centers = start[:, None] + place[None] * (stop - start)[:, None]
    return (centers >= 0) & (centers <= 1)
