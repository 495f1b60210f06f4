"""One training step, as a pure function of state and batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from softaug_jax.models import Model
from softaug_jax.tasks.protocol import Augmenter, Objective
from softaug_jax.train.state import TrainState

NETWORK = zlib.crc32(b"network")  # folded into a step's key as the chain folds its members' names
NO_STEP = jnp.iinfo(jnp.int32).max
READ_BEHIND = 8  # dispatches that may be under way before the oldest one's sums are waited for


class StepSums(NamedTuple):
    """Sums over the examples of one or more steps, and the first step that went wrong."""

    totals: dict[str, jax.Array]  # loss, weight and what the objective measures
    examples: jax.Array
    first_bad_step: jax.Array  # whose loss was not finite; NO_STEP if none

    def plus(self, other: StepSums) -> StepSums:
        """The sums of both, on the host."""
        added: StepSums = jax.tree.map(lambda a, b: a + b, self, other)
        return added._replace(first_bad_step=min(self.first_bad_step, other.first_bad_step))

    def summed(self) -> StepSums:
        """The sums of all that are stacked along a leading axis, of steps or of members."""
        added: StepSums = jax.tree.map(lambda a: a.sum(0), self)
        return added._replace(first_bad_step=self.first_bad_step.min(0))

    @property
    def means(self) -> dict[str, float]:
        """Of each total, an example's."""
        return {name: float(total / self.examples) for name, total in self.totals.items()}


Batch = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepSums]]


def train_step(
    model: Model, chain: Augmenter, objective: Objective, optimizer: optax.GradientTransformation
) -> TrainStep:
    """Builds the step: augment, forward, soften, gradient, update.

    The batch has `image` uint8 [B, H, W, C] and `label` int32 [B], and may have draws of the chain's members under
    their names; the others are drawn here, from the state's key and step, and so is what is random in the network.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepSums]:
        labels = batch["label"]
        key = jax.random.fold_in(state.key, state.step)
        with jax.named_scope("augment"):  # what profiles and the benchmarks of a compiled step know it by
            seen = chain.augment(batch, key, state.step)
        softened = objective.soften(labels, seen.visibility, seen.share, state.memory)

        def loss_of(params: Any) -> tuple[jax.Array, tuple[Any, Any]]:
            outputs, batch_stats = model.train(params, state.batch_stats, seen.images, jax.random.fold_in(key, NETWORK))
            return objective.loss(outputs, softened), (outputs, batch_stats)

        (loss, (outputs, batch_stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = objective.remember(state.memory, outputs, labels, state.step)
        means = {
            "loss": loss,
            **objective.measure(outputs, labels, seen, state.memory),
            "weight": jnp.mean(softened.weights),
        }
        count = jnp.float32(labels.shape[0])
        sums = StepSums(
            totals={name: mean * count for name, mean in means.items()},
            examples=count,
            # A gradient that is not finite makes parameters so, and the next loss: to look at each costs 5 % of a step.
            first_bad_step=jnp.where(jnp.isfinite(loss), NO_STEP, state.step),
        )
        return TrainState(params, batch_stats, opt_state, memory, state.step + 1, state.key), sums

    return step


@jax.jit
def all_finite(tree: Any) -> jax.Array:
    """Whether no array of the tree holds NaN or infinity, a bool scalar."""
    return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))
