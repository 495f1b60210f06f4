"""One training step, as a pure function of state and batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from softaug_jax.augment import Chain
from softaug_jax.augment.mix import partner
from softaug_jax.models import Model
from softaug_jax.train.objective import Objective
from softaug_jax.train.state import TrainState

NETWORK = zlib.crc32(b"network")  # folded into a step's key as the chain folds its members' names
NO_STEP = jnp.iinfo(jnp.int32).max


class StepSums(NamedTuple):
    """Sums over the examples of one or more steps, and the first step whose loss was not finite (NO_STEP if none)."""

    loss: jax.Array
    wrong: jax.Array
    visibility: jax.Array
    weight: jax.Array
    examples: jax.Array
    first_bad_step: jax.Array

    def plus(self, other: StepSums) -> StepSums:
        """The sums of both, on the host."""
        added: StepSums = jax.tree.map(lambda a, b: a + b, self, other)
        return added._replace(first_bad_step=min(self.first_bad_step, other.first_bad_step))


Batch = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepSums]]


def train_step(model: Model, chain: Chain, objective: Objective, optimizer: optax.GradientTransformation) -> TrainStep:
    """Builds the step: augment, forward, soften, gradient, update.

    The batch has `image` uint8 [B, H, W, C] and `label` int32 [B], and may have draws of the chain's members under
    their names; the others are drawn here, from the state's key and step, and so is what is random in the network.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepSums]:
        labels = batch["label"]
        key = jax.random.fold_in(state.key, state.step)
        images, visibility, share = chain.augment(batch, key, state.step)
        softened = objective.soften(labels, visibility, share, state.memory)

        def loss_of(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            logits, batch_stats = model.train(params, state.batch_stats, images, jax.random.fold_in(key, NETWORK))
            return objective.loss(logits, softened), (logits, batch_stats)

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = objective.remember(state.memory, logits, labels, state.step)
        count = jnp.float32(labels.shape[0])
        sums = StepSums(
            loss=loss * count,
            wrong=jnp.sum(_wrong(logits, labels, share)),
            visibility=jnp.sum(visibility),
            weight=jnp.sum(softened.weights),
            examples=count,
            first_bad_step=jnp.where(jnp.isfinite(loss), NO_STEP, state.step),
        )
        return TrainState(params, batch_stats, opt_state, memory, state.step + 1, state.key), sums

    return step


def _wrong(logits: jax.Array, labels: jax.Array, share: jax.Array | None) -> jax.Array:
    """Top-1 error of each example, [B]; of a mixed image, by the shares of its two classes."""
    guess = jnp.argmax(logits, -1)
    wrong = (guess != labels).astype(jnp.float32)
    return wrong if share is None else share * wrong + (1.0 - share) * (guess != partner(labels))


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Whether no array of the tree holds NaN or infinity, a bool scalar."""
    return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))
