"""From logits and visibility to the batch's loss. The one place that decides target and weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.losses import soft_cross_entropy
from softaug_jax.softening import soften

WEIGHTINGS = ("per_example", "batch_mean")


class Softened(NamedTuple):
    """The scalar loss of a batch, and each example's weight [B]."""

    loss: jax.Array
    weights: jax.Array


Objective = Callable[[jax.Array, jax.Array, jax.Array], Softened]  # logits [B, N], labels [B], visibility [B]


def softened_cross_entropy(config: Any, num_classes: int) -> Objective:
    """Soft Augmentation's loss (arXiv:2211.04625, Eqs. 4 to 6), by `config.soften` and `config.loss`."""
    curve = dict(config.soften)
    normalize, weighting = config.loss.normalize_weights, config.loss.weighting

    def objective(logits: jax.Array, labels: jax.Array, visibility: jax.Array) -> Softened:
        targets, weights = soften(labels, visibility, num_classes=num_classes, **curve)
        if weighting == "batch_mean":  # a control: the released code's reweighting is this, not Eq. 5
            loss = jnp.mean(weights) * jnp.mean(soft_cross_entropy(logits, targets))
        else:
            loss = jnp.mean(soft_cross_entropy(logits, targets, weights))
        return Softened(loss / jnp.mean(weights) if normalize else loss, weights)

    return objective
