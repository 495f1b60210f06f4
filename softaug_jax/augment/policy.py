"""RandAugment and TrivialAugment on the device, with the results of torchvision's on PIL images.

The 14 operations are of three kinds: one resampling, blends of the image with a poorer version of itself, and look-ups
of grey levels. A batch takes one pass of each kind per operation slot, whatever its images drew; a kind that an image
did not draw gets settings that change nothing. So no image pays for fourteen branches, and nothing crosses the batch
axis.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment import affine, blend, lookup, words
from softaug_jax.augment.magnitudes import OPERATIONS, Space, randaugment_space, trivialaugment_space
from softaug_jax.augment.transform import fully_visible, image_size
from softaug_jax.checks import check_count
from softaug_jax.explicit_axes import as_automatic


class PolicyDraws(NamedTuple):
    """What each image [B] gets in each of its operation slots."""

    operation: jax.Array  # an index into OPERATIONS, int32 [B, num_ops]
    magnitude: jax.Array  # which bin, int32 [B, num_ops]
    negative: jax.Array  # whether to take the magnitude's negative, if the operation has two signs; bool [B, num_ops]


class RandAugment(NamedTuple):
    """A few operations in turn, each any of the 14, all at one magnitude (arXiv:1909.13719). The target stays hard."""

    num_ops: int = 2
    magnitude: int = 9  # a bin, from 0 to num_bins - 1
    num_bins: int = 31

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> PolicyDraws:
        """Uniform operations and signs, [B, num_ops]."""
        check_count("num_ops", self.num_ops, at_least=1)
        if check_count("magnitude", self.magnitude, at_least=0) >= check_bins(self.num_bins):
            raise ValueError(f"magnitude = {self.magnitude} must be a bin, at least 0 and below {self.num_bins}.")
        uniform = jax.random.uniform(key, (2, batch, self.num_ops))
        operation = choice(uniform[0], len(OPERATIONS))
        return PolicyDraws(operation, jnp.full_like(operation, self.magnitude), uniform[1] < 0.5)

    def apply(self, images: jax.Array, draws: PolicyDraws) -> tuple[jax.Array, jax.Array]:
        return apply_policy(images, draws, randaugment_space(check_bins(self.num_bins), image_size(images)))


class TrivialAugment(NamedTuple):
    """One operation, any of the 14, at any magnitude (TrivialAugmentWide, arXiv:2103.10158). The target stays hard."""

    num_bins: int = 31

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> PolicyDraws:
        """Uniform operations, magnitudes and signs, [B, 1]."""
        uniform = jax.random.uniform(key, (3, batch, 1))
        operation = choice(uniform[0], len(OPERATIONS))
        magnitude = choice(uniform[1], check_bins(self.num_bins))
        return PolicyDraws(operation, magnitude, uniform[2] < 0.5)

    def apply(self, images: jax.Array, draws: PolicyDraws) -> tuple[jax.Array, jax.Array]:
        return apply_policy(images, draws, trivialaugment_space(check_bins(self.num_bins)))


def apply_policy(images: jax.Array, draws: PolicyDraws, space: Space) -> tuple[jax.Array, jax.Array]:
    """Applies the slots in turn to images [B, H, W, C]; returns them and their visibility [B], which is 1.

    The arithmetic is on bytes: other types are rounded to whole grey levels, clipped to [0, 255], and returned as their
    own type. So a policy comes before `Normalize`, and makes images in [0, 1] all but black. Images may have 8.4
    million pixels (2899 x 2899): beyond, contrast can't add up the grey levels.

    Raises:
      ValueError: if the images are not [B, H, W, C] with one channel or three.
    """
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images have shape {images.shape}; policies take [B, H, W, C] with 1 or 3 channels.")
    if not len(images):
        return images, fully_visible(images)
    return as_automatic(partial(_apply_slots, space), images, draws), fully_visible(images)


def _apply_slots(space: Space, images: jax.Array, draws: PolicyDraws) -> jax.Array:
    levels = images if images.dtype == jnp.uint8 else jnp.clip(jnp.round(images), 0, 255)
    pixels = words.pack(jnp.moveaxis(levels, -1, 0))
    for slot in range(draws.operation.shape[1]):
        operation, magnitude, negative = (drawn[:, slot] for drawn in draws)
        pixels = apply_operation(pixels, images.shape[-1], operation, magnitude, negative, space)
    planes = words.unpack(pixels, images.shape[-1])
    return jnp.stack(planes, axis=-1).astype(images.dtype)


def apply_operation(
    pixels: jax.Array, channels: int, operation: jax.Array, magnitude: jax.Array, negative: jax.Array, space: Space
) -> jax.Array:
    """Applies to each image its operation.

    Args:
      pixels: the images as words, int32 [B, H, W].
      channels: of the images, 1 or 3.
      operation: index into OPERATIONS, int [B].
      magnitude: bin, int [B].
      negative: whether to take the magnitude's negative, bool or int 0 or 1, [B]; operations without a sign ignore it.
      space: each operation's magnitudes.

    Returns:
      The images as words, int32 [B, H, W].
    """
    sign = negative.astype(jnp.int32)
    _, height, width = pixels.shape
    where = jnp.asarray(affine.coefficients(space, (height, width)))[operation, magnitude, sign]
    factor = jnp.asarray(blend.factors(space))[operation, magnitude, sign]
    mask = jnp.asarray(lookup.bit_masks(space))[operation, magnitude]
    threshold = jnp.asarray(lookup.thresholds(space))[operation, magnitude]
    pixels = enhance(move(pixels, where), channels, operation, factor)
    return remap(pixels, channels, operation, mask, threshold)


def move(pixels: jax.Array, where: jax.Array) -> jax.Array:
    """The pass that resamples words [B, H, W]: `affine.resample`."""
    return words.stored(affine.resample(pixels, where))


def enhance(pixels: jax.Array, channels: int, operation: jax.Array, factor: jax.Array) -> jax.Array:
    """The pass that blends words [B, H, W]: `blend.enhance`."""
    return words.stored(words.pack(blend.enhance(words.unpack(pixels, channels), operation, factor)))


def remap(pixels: jax.Array, channels: int, operation: jax.Array, mask: jax.Array, threshold: jax.Array) -> jax.Array:
    """The pass that looks up the grey levels of words [B, H, W]: `lookup.remap`."""
    rows = pixels.reshape(len(pixels), -1)
    return words.stored(lookup.remap(rows, channels, operation, mask, threshold)).reshape(pixels.shape)


def choice(uniform: jax.Array, count: int) -> jax.Array:
    """Whole numbers below `count`, int32, each as likely, from as many numbers in [0, 1)."""
    return (count * uniform).astype(jnp.int32)


def check_bins(num_bins: int) -> int:
    """Two bins at least: the weakest magnitude and the strongest."""
    return check_count("num_bins", num_bins, at_least=2)
