"""Random changes of colour: jitter of brightness, contrast, saturation and hue, and greyscale.

They compute as torchvision's do on float images: nothing is rounded to whole grey levels, and every operation clips.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.transform import fully_visible
from softaug_jax.checks import check_scalar

OPERATIONS = ("brightness", "contrast", "saturation", "hue")
LUMA = (0.2989, 0.587, 0.114)  # red, green, blue; torchvision's, whose sum is 0.9999


class JitterDraws(NamedTuple):
    """What each image [B] gets: how far the operations go, 0 being nowhere, and in which order."""

    brightness: jax.Array  # added to the factor 1, float32 [B]
    contrast: jax.Array  # the same
    saturation: jax.Array  # the same
    hue: jax.Array  # in turns of the colour circle, float32 [B]
    order: jax.Array  # indices into OPERATIONS, int32 [B, 4]


class ColorJitter(NamedTuple):
    """Changes brightness, contrast, saturation and hue of some images, in random order. The target stays hard.

    The defaults are SimSiam's (Chen and He, arXiv:2011.10566). Images of one channel have no saturation and no hue.
    """

    brightness: float = 0.4  # the factor is uniform in [1 - brightness, 1 + brightness], at least 0
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1  # the shift is uniform in [-hue, hue], in turns of the colour circle, at most 0.5
    probability: float = 0.8

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> JitterDraws:
        """Draws of the operations and their order; zeros for the images that are left alone.

        Raises:
          ValueError: if a strength is negative, the hue above 0.5, or the probability not in [0, 1].
        """
        for name, value, most in zip(self._fields, self, (None, None, None, 0.5, 1.0), strict=True):
            check_scalar(name, value, at_least=0, at_most=most)
        uniform = jax.random.uniform(key, (batch, 2 * len(OPERATIONS) + 1))
        some = uniform[:, 0] < self.probability
        low = (*(-min(strength, 1.0) for strength in self[:3]), -self.hue)  # a factor is at least 0
        brightness, contrast, saturation, hue = (
            jnp.where(some, a + (b - a) * uniform[:, 1 + number], 0.0)
            for number, (a, b) in enumerate(zip(low, self[:4], strict=True))
        )
        order = jnp.argsort(uniform[:, 1 + len(OPERATIONS) :], axis=1).astype(jnp.int32)
        return JitterDraws(brightness, contrast, saturation, hue, jnp.where(some.reshape(-1, 1), order, 0))

    def apply(self, images: jax.Array, draws: JitterDraws) -> tuple[jax.Array, jax.Array]:
        """Returns images [B, H, W, C] in 0 to 255, of any type, as float32, and their visibility, which is 1.

        Raises:
          ValueError: if the images are not [B, H, W, C] with one channel or three.
        """
        pixels = _checked(images)
        for slot in range(draws.order.shape[1]):
            pixels = _operate(pixels, draws, draws.order[:, slot])
        return pixels, fully_visible(images)


class Grayscale(NamedTuple):
    """Takes the colour out of some images. The target stays hard."""

    probability: float = 0.2

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> jax.Array:
        """Which images lose their colour, bool [B]."""
        check_scalar("probability", self.probability, at_least=0, at_most=1)
        return jax.random.bernoulli(key, self.probability, (batch,))

    def apply(self, images: jax.Array, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns images [B, H, W, C] as float32, their channels equal where drawn, and their visibility, which is 1.

        Raises:
          ValueError: if the images are not [B, H, W, C] with one channel or three.
        """
        pixels = _checked(images)
        return jnp.where(_per_image(draws), grey(pixels), pixels), fully_visible(images)


def grey(images: jax.Array) -> jax.Array:
    """The luma of images, float32 [B, H, W, 1]; one channel is its own."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (weight * images[..., c : c + 1] for c, weight in enumerate(LUMA))
    return red + green + blue


def rotate_hue(images: jax.Array, turns: jax.Array) -> jax.Array:
    """Turns the colours of images in HSV: value and saturation stay, the hue goes round.

    Each channel is the value, less the chroma (largest less smallest) times a trapezoid of the hue. So only the hue has
    to be found, from the largest channel, and no sextant of the colour circle has a branch of its own.

    Args:
      images: float [B, H, W, 3], at least 0.
      turns: of the colour circle, float [B]; 0 leaves an image exactly as it is.

    Returns:
      Images, float [B, H, W, 3].
    """
    red, green, blue = images[..., 0:1], images[..., 1:2], images[..., 2:3]
    value = images.max(-1, keepdims=True)
    chroma = value - images.min(-1, keepdims=True)
    per_chroma = 1.0 / jnp.where(chroma > 0, chroma, 1.0)
    sixths = jnp.select(
        [(red >= green) & (red >= blue), green >= blue],  # not "value == red": a compiler may round them apart
        [(green - blue) * per_chroma, 2.0 + (blue - red) * per_chroma],
        4.0 + (red - green) * per_chroma,
    )
    phase = jnp.array([5.0, 3.0, 1.0]).reshape(1, 1, 1, 3)
    place = jnp.mod(sixths + 6.0 * _per_image(turns) + phase, 6.0)
    turned = value - chroma * jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)
    return jnp.where(_per_image(turns) == 0, images, turned)


def _operate(pixels: jax.Array, draws: JitterDraws, operation: jax.Array) -> jax.Array:
    """Applies to each image its operation, [B], an index into OPERATIONS."""
    is_brightness, is_contrast, is_saturation, is_hue = (operation == number for number in range(len(OPERATIONS)))
    # Three of the four are one blend, x + (factor - 1) (x - poorer): with black, with the mean grey, with the luma.
    luma = grey(pixels)
    mean = luma.mean((1, 2, 3), keepdims=True)
    poorer = jnp.select([_per_image(is_saturation), _per_image(is_contrast)], [luma, mean], 0.0)
    blends = [is_brightness, is_contrast, is_saturation]
    extra = jnp.select(blends, [draws.brightness, draws.contrast, draws.saturation], 0.0)
    pixels = jnp.clip(pixels + _per_image(extra) * (pixels - poorer), 0.0, 255.0)
    return rotate_hue(pixels, jnp.where(is_hue, draws.hue, 0.0)) if pixels.shape[-1] == 3 else pixels


def _checked(images: jax.Array) -> jax.Array:
    """The images as float32."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images have shape {images.shape}; colours change in [B, H, W, C] with 1 or 3 channels.")
    return jnp.asarray(images, jnp.float32)


def _per_image(value: jax.Array) -> jax.Array:
    return value.reshape(-1, 1, 1, 1)
