"""The paper's optimiser (arXiv:2211.04625, section 4.3.1, and the authors' code)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import optax


def learning_rate(config: Any, total_steps: int) -> optax.Schedule:
    """Cosine from the config's learning rate to 0 over the whole run, without warm-up."""
    return optax.cosine_decay_schedule(config.optimizer.learning_rate, total_steps)


def optimizer(config: Any, total_steps: int, constant_rate: Collection[str] = ()) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient of every parameter, as PyTorch does.

    Args:
      config: its `optimizer` is read.
      total_steps: over which the learning rate decays.
      constant_rate: top-level names of parameters whose learning rate stays what it is at the start.
    """
    settings = config.optimizer
    sgd = lambda rate: optax.sgd(rate, momentum=settings.momentum, nesterov=settings.nesterov)
    update = sgd(learning_rate(config, total_steps))
    if constant_rate:
        kinds = {"decaying": update, "constant": sgd(settings.learning_rate)}
        update = optax.partition(
            kinds, lambda params: {name: "constant" if name in constant_rate else "decaying" for name in params}
        )
    return optax.chain(optax.add_decayed_weights(settings.weight_decay), update)
