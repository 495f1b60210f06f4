"""A chain of augmentations: images pass through its members, their visibilities multiply, and at last they may mix."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.mix import Mix
from softaug_jax.augment.transform import Draws, Transform, fully_visible, image_size
from softaug_jax.checks import UsageError

MIX = "mix"  # the name of its draws
FIELDS = ("image", "label")  # of a batch, beside the draws


class Member(NamedTuple):
    """A transform with a name, under which its draws travel in the batch."""

    name: str
    transform: Transform
    until_step: int | None = None  # from this training step on it is off; None: always on


class Augmented(NamedTuple):
    """A batch as the network sees it."""

    images: jax.Array  # [B, H, W, C]
    visibility: jax.Array  # of each image before it was mixed, [B]
    share: jax.Array | None  # of each image that is its own, [B], the rest being its partner's; None: not mixed


class Chain(NamedTuple):
    """Transforms applied one after the other, and then, if there is one, a mix of images."""

    members: tuple[Member, ...]
    mix: Mix | None = None

    def augment(self, batch: Mapping[str, Draws], key: jax.Array, step: jax.typing.ArrayLike = 0) -> Augmented:
        """Augments `batch["image"]` [B, H, W, C]; what the batch has no draws for is drawn from the step's own key.

        Raises:
          ValueError: if the batch is no dictionary of images, or a member is not as `check` or its `apply` needs.
        """
        if not isinstance(batch, Mapping):
            raise ValueError('The batch must be a dictionary, as in chain.augment({"image": images}, key).')
        images = batch["image"]
        draws = self.sample(key, images.shape[0], image_size(images), given=batch)
        images, visibility = self.apply(images, draws, step)
        if self.mix is None:
            return Augmented(images, visibility, None)
        with jax.named_scope(MIX):
            images, share = self.mix.apply(images, draws[MIX])
        return Augmented(images, visibility, share)

    def sample(
        self, key: jax.Array, batch: int, size: tuple[int, int], given: Mapping[str, Draws] | None = None
    ) -> dict[str, Draws]:
        """Draws for every member and the mix, except those in `given`, which are taken from there.

        A member's key depends on its name alone, so adding another member leaves its draws as they were.

        Raises:
          ValueError: if two members have one name, or one has the mix's or that of a field of the batch.
        """
        self.check()
        given = given or {}
        samplers = {m.name: m.transform.sample for m in self.members}
        if self.mix is not None:
            samplers[MIX] = self.mix.sample
        key_of = lambda name: jax.random.fold_in(key, zlib.crc32(name.encode()))
        with jax.named_scope("draw"):
            return {
                name: given[name] if name in given else sample(key_of(name), batch, size)
                for name, sample in samplers.items()
            }

    def apply(
        self, images: jax.Array, draws: Mapping[str, Draws], step: jax.typing.ArrayLike = 0
    ) -> tuple[jax.Array, jax.Array]:
        """Returns the images [B, H, W, C], not mixed yet, and their visibility [B], the product of the members'."""
        visibility = fully_visible(images)
        for member in self.members:
            with jax.named_scope(member.name):
                result = member.transform.apply(images, switched(draws[member.name], member.until_step, step))
            images, left = _checked(member.name, result, visibility.shape)
            visibility = visibility * left
        return images, visibility

    def check(self) -> None:
        """Raises ValueError unless members are Members, and each one's draws have a name of their own."""
        for member in self.members:
            if not isinstance(member, Member):
                raise ValueError(f"{member!r} is no member of a chain, as in Chain((Member('flip', Flip()), ...)).")
        names = [MIX, *FIELDS, *(member.name for member in self.members)]
        clashing = [name for name, count in Counter(names).items() if count > 1]
        if clashing:
            raise ValueError(
                f"The draws of the chain's members travel by name, and {', '.join(map(repr, clashing))} would be taken "
                f"twice. Give each member a name of its own, none of {', '.join(map(repr, (MIX, *FIELDS)))}."
            )


def _checked(name: str, result: Any, batch: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """What a transform returned; UsageError if it is not images and a visibility for each, by the member's name."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise UsageError(f"The apply of {name!r} returned no pair. It must return images and their visibility [B].")
    if jnp.ndim(result[0]) != 4 or jnp.shape(result[0])[:1] != batch:  # a single image would silently count for all
        raise UsageError(
            f"The apply of {name!r} returned images of shape {jnp.shape(result[0])}; they must be [B, H, W, C], with "
            f"B = {batch[0]}."
        )
    if jnp.shape(result[1]) not in ((), batch):  # [B, 1] by [B] would silently make [B, B]
        raise UsageError(
            f"The apply of {name!r} returned a visibility of shape {jnp.shape(result[1])}; it must be {batch}, one an "
            "image, or a scalar."
        )
    return result


def switched(draws: Draws, until_step: int | None, step: jax.typing.ArrayLike) -> Draws:
    """The draws, or zeros (which change nothing) once the member is off."""
    if until_step is None:
        return draws
    return jax.tree.map(lambda d: jnp.where(jnp.asarray(step) < until_step, d, jnp.zeros_like(d)), draws)
