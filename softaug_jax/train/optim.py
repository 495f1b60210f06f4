"""The paper's optimiser (arXiv:2211.04625, section 4.3.1, and the authors' code)."""

from __future__ import annotations

from typing import Any

import optax


def learning_rate(config: Any, total_steps: int) -> optax.Schedule:
    """Cosine from the config's learning rate to 0 over the whole run, without warm-up."""
    return optax.cosine_decay_schedule(config.optimizer.learning_rate, total_steps)


def optimizer(config: Any, total_steps: int) -> optax.GradientTransformation:
    """SGD with Nesterov momentum; weight decay is added to the gradient of every parameter, as PyTorch does."""
    return optax.chain(
        optax.add_decayed_weights(config.optimizer.weight_decay),
        optax.sgd(
            learning_rate(config, total_steps),
            momentum=config.optimizer.momentum,
            nesterov=config.optimizer.nesterov,
        ),
    )
