"""From the overlap of two views to the pair's weight, and from their embeddings to the batch's loss.

Add your own weights by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from softaug_jax.augment import Augmented
from softaug_jax.metrics import output_std
from softaug_jax.models.siamese import Embeddings
from softaug_jax.own import Entries
from softaug_jax.pair_losses import barlow_twins_loss, simsiam_loss
from softaug_jax.softening import HYPOTHESES, pair_confidence
from softaug_jax.tasks.protocol import Softened, check_shape


def _by_equations(iou: jax.Array, pairs: Any) -> jax.Array:
    return pair_confidence(iou, k=pairs.k, p_min=pairs.p_min, hypothesis=pairs.hypothesis)


# From the crops' IoU [B] and config.pairs to weights [B], by the values of `hypothesis`.
PAIR_WEIGHTS: Entries[Callable[[jax.Array, Any], jax.Array]] = Entries(
    ("iou", "config.pairs"),
    {"none": lambda iou, pairs: jnp.ones_like(iou), **dict.fromkeys(HYPOTHESES, _by_equations)},
)


class PairObjective:
    """Soft Augmentation of pairs (arXiv:2211.04625, Eqs. 9 and 10). What is visible is the IoU of the two crops."""

    def __init__(self, pairs: Any):
        """Reads `config.pairs`."""
        self._pairs = pairs

    def initial_memory(self) -> Any:
        return ()

    def soften(self, labels: jax.Array, visibility: jax.Array, share: jax.Array | None, memory: Any) -> Softened:
        """Weights of pairs whose crops overlap by `visibility` [B]; labels are not looked at."""
        hypothesis = self._pairs.hypothesis
        weights = PAIR_WEIGHTS[hypothesis](visibility, self._pairs)
        check_shape(f"weights of PAIR_WEIGHTS[{hypothesis!r}]", weights, visibility.shape)
        return Softened(None, weights)

    def loss(self, embeddings: Embeddings, softened: Softened) -> jax.Array:
        """The batch's loss, a scalar: SimSiam's mean of weight * loss, or Barlow Twins' of the weighted correlation."""
        if self._pairs.method == "barlow_twins":
            return barlow_twins_loss(embeddings.projections, softened.weights, redundancy=self._pairs.redundancy)
        assert embeddings.predictions is not None  # SimSiam has a predictor
        return jnp.mean(simsiam_loss(embeddings.predictions, embeddings.projections, softened.weights))

    def measure(
        self, embeddings: Embeddings, labels: jax.Array, seen: Augmented, memory: Any = ()
    ) -> dict[str, jax.Array]:
        """The crops' overlap, and how far the outputs spread: near 0 they have collapsed to one point."""
        return {"iou": jnp.mean(seen.visibility), "output_std": output_std(embeddings.projections)}

    def remember(self, memory: Any, embeddings: Embeddings, labels: jax.Array, step: jax.Array) -> Any:
        return memory
