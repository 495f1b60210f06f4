"""From labels and visibility to targets and weights, and from logits to the batch's loss.

The one place that decides the target: every method is a rule for targets and weights, and one loss that is linear in
the target serves them all. Add your own by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from softaug_jax.augment import Augmented
from softaug_jax.augment.mix import mix_targets, partner
from softaug_jax.checks import UsageError
from softaug_jax.data.schedule import Schedule
from softaug_jax.losses import soft_focal_loss
from softaug_jax.own import Entries
from softaug_jax.softening import MODES, soften
from softaug_jax.tasks import online_smoothing
from softaug_jax.tasks.protocol import Softened, check_shape

WEIGHTINGS = ("per_example", "batch_mean")


def _by_equations(
    labels: jax.Array, visibility: jax.Array, num_classes: int, curve: Any
) -> tuple[jax.Array, jax.Array]:
    return soften(
        labels, visibility, num_classes=num_classes, mode=curve.mode, k=curve.k, p_min=curve.p_min, p_max=curve.p_max
    )


# From labels int [B], visibility [B], N and config.soften to targets [B, N] and weights [B], by the values of `mode`.
Softening = Callable[[jax.Array, jax.Array, int, Any], tuple[jax.Array, jax.Array]]
SOFTENINGS: Entries[Softening] = Entries(
    ("labels", "visibility", "num_classes", "config.soften"), dict.fromkeys(MODES, _by_equations)
)

# From logits [B, N], targets [B, N] and config.loss to losses [B], before they are weighted, by the values of `name`.
LOSSES: Entries[Callable[[jax.Array, jax.Array, Any], jax.Array]] = Entries(
    ("logits", "targets", "config.loss"),
    {"focal": lambda logits, targets, loss: soft_focal_loss(logits, targets, loss.focal_gamma)},
)


def loss_name(config: Any) -> str:
    """Which of `LOSSES`: the focal loss, with gamma = 0 the cross entropy, unless the config has `loss.name`."""
    return config.loss.name if "name" in config.loss else "focal"


class ClassObjective:
    """What is learnt: Soft Augmentation (arXiv:2211.04625, Eqs. 4 to 6) and the methods of its Table 1."""

    def __init__(self, config: Any, num_classes: int, schedule: Schedule):
        """Reads `config.soften` and `config.loss`."""
        self._softening, self._num_classes, self._schedule = config.soften, num_classes, schedule
        self._loss, self._loss_name, self._online = config.loss, loss_name(config), config.loss.online_smoothing

    def initial_memory(self) -> Any:
        """What the targets remember between steps, a pytree; empty unless label smoothing is online."""
        return online_smoothing.initial(self._num_classes) if self._online else ()

    def soften(self, labels: jax.Array, visibility: jax.Array, share: jax.Array | None, memory: Any) -> Softened:
        """Targets and weights for labels int [B].

        Args:
          labels: true classes, int [B].
          visibility: of each image, before it was mixed, [B].
          share: of each image that is its own, [B], the rest being its partner's; None if images are not mixed.
          memory: of the steps before.
        """
        mode, num_classes = self._softening.mode, self._num_classes
        softened = SOFTENINGS[mode](labels, visibility, num_classes, self._softening)
        if not isinstance(softened, (tuple, list)) or len(softened) != 2:
            raise UsageError(f"SOFTENINGS[{mode!r}] returned no pair. It must return targets [B, N] and weights [B].")
        targets, weights = softened
        check_shape(f"targets of SOFTENINGS[{mode!r}]", targets, (*labels.shape, num_classes))
        check_shape(f"weights of SOFTENINGS[{mode!r}]", weights, labels.shape)
        if self._online:
            targets = (1.0 - self._online) * targets + self._online * memory.targets[labels]
        if share is not None:
            targets, weights = mix_targets(targets, weights, share)
        return Softened(targets, weights)

    def loss(self, logits: Any, softened: Softened) -> jax.Array:
        """The batch's loss, a scalar: the mean of weight * loss."""
        targets, weights = softened.targets, softened.weights
        assert targets is not None
        losses = LOSSES[self._loss_name](logits, targets, self._loss)
        check_shape(f"losses of LOSSES[{self._loss_name!r}]", losses, weights.shape)
        if not jnp.issubdtype(losses.dtype, jnp.floating):  # whose gradient would be 0
            raise UsageError(f"The losses of LOSSES[{self._loss_name!r}] are {losses.dtype}; they must be floating.")
        if self._loss.weighting == "batch_mean":  # a control: the released code's reweighting is this, not Eq. 5
            loss = jnp.mean(weights) * jnp.mean(losses)
        else:
            loss = jnp.mean(weights * losses)
        return loss / _or_one(jnp.mean(weights)) if self._loss.normalize_weights else loss

    def measure(self, logits: Any, labels: jax.Array, seen: Augmented, memory: Any = ()) -> dict[str, jax.Array]:
        """Top-1 error on the augmented images, and their visibility."""
        return {
            "top1_error": jnp.mean(_wrong(logits, labels, seen.share)),
            "visibility": jnp.mean(seen.visibility),
        }

    def remember(self, memory: Any, logits: Any, labels: jax.Array, step: jax.Array) -> Any:
        """The memory after a step; after an epoch's last one, with the targets for the next."""
        if not self._online:
            return memory
        memory = online_smoothing.observe(memory, logits, labels)
        ended = self._schedule.starts_epoch(step + 1)
        return jax.tree.map(lambda new, old: jnp.where(ended, new, old), online_smoothing.renew(memory), memory)


def _or_one(mean: jax.Array) -> jax.Array:
    """The mean weight, or 1 where all weights are 0: such a batch teaches nothing."""
    return jnp.where(mean > 0, mean, 1.0)


def _wrong(logits: jax.Array, labels: jax.Array, share: jax.Array | None) -> jax.Array:
    """Top-1 error of each example, [B]; of a mixed image, by the shares of its two classes."""
    guess = jnp.argmax(logits, -1)
    wrong = (guess != labels).astype(jnp.float32)
    return wrong if share is None else share * wrong + (1.0 - share) * (guess != partner(labels))
