"""What every augmentation is: draws for a batch, and a pure function that applies them and says what it hid."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

Draws = Any  # a pytree of arrays with the batch as leading axis, or None


class Transform(Protocol):
    """An augmentation of a batch of images. Draws of zero must leave the images as they are.

    With jax_enable_x64, uniform and normal numbers are drawn in float64: a key gives other draws then.
    """

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> Draws:
        """Draws the parameters for `batch` images of `size` (H, W)."""
        ...

    def apply(self, images: jax.Array, draws: Draws) -> tuple[jax.Array, jax.Array]:
        """Returns the images [B, H, W, C] and their visibility [B]; a hard augmentation's is 1."""
        ...


class Normalize(NamedTuple):
    """From pixels in 0 to 255 to zero mean and unit variance per channel. Nothing is drawn, nothing hidden."""

    mean: tuple[float, ...]  # per channel or one for all, in [0, 1]
    std: tuple[float, ...]  # as many

    def sample(self, key: jax.Array, batch: int, size: tuple[int, int]) -> None:
        return None

    def apply(self, images: jax.Array, draws: None = None) -> tuple[jax.Array, jax.Array]:
        """Returns images [B, H, W, C] as float32, and visibility 1; ValueError if mean or std do not fit them."""
        lengths, channels = (len(self.mean), len(self.std)), images.shape[-1]
        if lengths not in ((1, 1), (channels, channels)):
            raise ValueError(
                f"mean and std have lengths {lengths}; images of {channels} channels take 1 or {channels}."
            )
        scale = 1.0 / (255.0 * jnp.asarray(self.std))
        shift = -jnp.asarray(self.mean) / jnp.asarray(self.std)
        lead = (1,) * (images.ndim - 1)
        normalized = images.astype(jnp.float32) * scale.reshape(*lead, -1) + shift.reshape(*lead, -1)
        return normalized, fully_visible(images)


def fully_visible(images: jax.Array) -> jax.Array:
    """Visibility 1 for each image, [B]."""
    return jnp.ones(images.shape[0], jnp.float32)


def image_size(images: jax.Array) -> tuple[int, int]:
    """(H, W) of images [B, H, W, C], in pixels; ValueError if they are of another rank."""
    if images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}; they must be [B, H, W, C]: of a single one, images[None].")
    _, height, width, _ = images.shape
    return height, width
