"""A chain of augmentations: images pass through its members, and their visibilities multiply."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.transform import Draws, Transform, fully_visible


class Member(NamedTuple):
    """A transform with a name, under which its draws travel in the batch."""

    name: str
    transform: Transform
    until_step: int | None = None  # from this training step on it is off; None: always on


class Chain(NamedTuple):
    """Transforms applied one after the other."""

    members: tuple[Member, ...]

    def sample(
        self, key: jax.Array, batch: int, size: tuple[int, int], given: Mapping[str, Draws] | None = None
    ) -> dict[str, Draws]:
        """Draws for every member, except those in `given`, which are taken from there.

        A member's key depends on its name alone, so adding another member leaves its draws as they were.
        """
        given = given or {}
        return {
            m.name: given[m.name]
            if m.name in given
            else m.transform.sample(jax.random.fold_in(key, zlib.crc32(m.name.encode())), batch, size)
            for m in self.members
        }

    def apply(
        self, images: jax.Array, draws: Mapping[str, Draws], step: jax.typing.ArrayLike = 0
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the images [B, H, W, C] and their visibility [B], the product of the members'."""
        visibility = fully_visible(images)
        for member in self.members:
            images, left = member.transform.apply(images, _switched(draws[member.name], member.until_step, step))
            visibility = visibility * left
        return images, visibility


def _switched(draws: Draws, until_step: int | None, step: jax.typing.ArrayLike) -> Draws:
    """The draws, or zeros (which change nothing) once the member is off."""
    if until_step is None:
        return draws
    return jax.tree.map(lambda d: jnp.where(jnp.asarray(step) < until_step, d, jnp.zeros_like(d)), draws)
