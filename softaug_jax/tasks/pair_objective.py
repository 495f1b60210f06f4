"""From the overlap of two views to the pair's weight, and from their embeddings to the batch's loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from softaug_jax.augment import Augmented
from softaug_jax.metrics import output_std
from softaug_jax.models.siamese import Embeddings
from softaug_jax.pair_losses import barlow_twins_loss, simsiam_loss
from softaug_jax.softening import pair_confidence
from softaug_jax.tasks.protocol import Softened


class PairObjective:
    """Soft Augmentation of pairs (arXiv:2211.04625, Eqs. 9 and 10). What is visible is the IoU of the two crops."""

    def __init__(self, pairs: Any):
        """Reads `config.pairs`."""
        self._method, self._redundancy = pairs.method, pairs.redundancy
        self._hypothesis, self._k, self._p_min = pairs.hypothesis, pairs.k, pairs.p_min

    def initial_memory(self) -> Any:
        return ()

    def soften(self, labels: jax.Array, visibility: jax.Array, share: jax.Array | None, memory: Any) -> Softened:
        """Weights of pairs whose crops overlap by `visibility` [B]; labels are not looked at."""
        if self._hypothesis == "none":
            return Softened(None, jnp.ones_like(visibility))
        weights = pair_confidence(visibility, k=self._k, p_min=self._p_min, hypothesis=self._hypothesis)
        return Softened(None, weights)

    def loss(self, embeddings: Embeddings, softened: Softened) -> jax.Array:
        """The batch's loss, a scalar: SimSiam's mean of weight * loss, or Barlow Twins' of the weighted correlation."""
        if self._method == "barlow_twins":
            return barlow_twins_loss(embeddings.projections, softened.weights, redundancy=self._redundancy)
        assert embeddings.predictions is not None  # SimSiam has a predictor
        return jnp.mean(simsiam_loss(embeddings.predictions, embeddings.projections, softened.weights))

    def measure(
        self, embeddings: Embeddings, labels: jax.Array, seen: Augmented, memory: Any = ()
    ) -> dict[str, jax.Array]:
        """The crops' overlap, and how far the outputs spread: near 0 they have collapsed to one point."""
        return {"iou": jnp.mean(seen.visibility), "output_std": output_std(embeddings.projections)}

    def remember(self, memory: Any, embeddings: Embeddings, labels: jax.Array, step: jax.Array) -> Any:
        return memory
