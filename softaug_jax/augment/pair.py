"""Two random views of each image, and what they have in common (arXiv:2211.04625, section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment.chain import Augmented, Chain, Member, switched
from softaug_jax.augment.resized_crop import ResizedCrop, whole_where_empty
from softaug_jax.augment.transform import Draws, image_size
from softaug_jax.checks import UsageError
from softaug_jax.crops import box_iou

VIEWS = ("a", "b")


class Pair(NamedTuple):
    """Draws the same augmentations twice for each image, independently; takes the place of a `Chain`.

    Eqs. 9 and 10 of the paper have the intersection over union of the two crops where Eq. 7 has the visibility: so it
    is the pair's visibility here.
    """

    view: tuple[Member, ...]  # the members of one view, the first of them a ResizedCrop

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of both views, "crop_a" and so on, then "crop_b": the names of their draws.

        Raises:
          UsageError: if the first member of the view is not its only ResizedCrop.
        """
        is_crop = [isinstance(member.transform, ResizedCrop) for member in self.view]
        if is_crop[:1] != [True] or sum(is_crop) != 1:
            listed = ", ".join(f"{m.name}: {type(m.transform).__name__}" for m in self.view) or "nothing"
            raise UsageError(f"view = ({listed}) must begin with a ResizedCrop and have no other.")
        return tuple(member._replace(name=f"{member.name}_{view}") for view in VIEWS for member in self.view)

    def augment(self, batch: Mapping[str, Draws], key: jax.Array, step: jax.typing.ArrayLike = 0) -> Augmented:
        """Makes two views of `batch["image"]` [B, H, W, C]; what the batch has no draws for is drawn from the key.

        Returns:
          images [B, 2, H, W, C], and as visibility [B] the IoU of the two boxes, times what members after the crop
          left visible (1 if they are hard).
        """
        images = batch["image"]
        size = image_size(images)
        draws = self.sample(key, images.shape[0], size, given=batch)
        (view_a, left_a), (view_b, left_b) = (self._apply(images, draws, view, step) for view in VIEWS)
        visibility = self._iou(draws, size, step) * left_a * left_b
        return Augmented(jnp.stack([view_a, view_b], axis=1), visibility, None)

    def sample(
        self, key: jax.Array, batch: int, size: tuple[int, int], given: Mapping[str, Draws] | None = None
    ) -> dict[str, Draws]:
        """Draws for the members of both views, by their names, except those in `given`, which are taken from there."""
        return Chain(self.members).sample(key, batch, size, given)

    def _apply(
        self, images: jax.Array, draws: Mapping[str, Draws], view: str, step: jax.typing.ArrayLike
    ) -> tuple[jax.Array, jax.Array]:
        own = {member.name: draws[f"{member.name}_{view}"] for member in self.view}
        return Chain(self.view).apply(images, own, step)

    def _iou(self, draws: Mapping[str, Draws], size: tuple[int, int], step: jax.typing.ArrayLike) -> jax.Array:
        # The boxes are in pixels of the source. A flip comes later and mirrors the view, after it was cut out: the box
        # still says which pixels of the source the view shows, so flips leave the IoU as it is.
        crop = self.view[0]
        boxes = [switched(draws[f"{crop.name}_{view}"], crop.until_step, step) for view in VIEWS]
        return box_iou(*(whole_where_empty(box, size) for box in boxes))
