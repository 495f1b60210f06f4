"""The paper's optimiser (arXiv:2211.04625, section 4.3.1, and the authors' code)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import optax

from softaug_jax.checks import UsageError

DECAYED = ("all", "kernels")


def learning_rate(config: Any, total_steps: int) -> optax.Schedule:
    """Cosine from the config's learning rate to 0 at the run's end, after a linear rise from 0 if there is a warm-up.

    The warm-up's first step has the rate of its end divided by its length, so that no step is lost (Goyal et al.,
    arXiv:1706.02677, section 2.2).

    Raises:
      UsageError: if the warm-up leaves no step to the decay.
    """
    peak, warmup_steps = config.optimizer.learning_rate, _warmup_steps(config, total_steps)
    decay = optax.cosine_decay_schedule(peak, total_steps - warmup_steps)
    if not warmup_steps:
        return decay
    rise = optax.linear_schedule(peak / warmup_steps, peak, warmup_steps - 1)
    return optax.join_schedules([rise, decay], [warmup_steps])


def _warmup_steps(config: Any, total_steps: int) -> int:
    warmup = config.optimizer.warmup_epochs
    steps = round(total_steps * warmup / config.epochs)
    if steps >= total_steps:
        raise UsageError(
            f"config.optimizer.warmup_epochs = {warmup:g} leaves nothing of config.epochs = {config.epochs}, which are "
            f"{total_steps} steps, to the decay of the learning rate. Use less, or 0."
        )
    return steps


def optimizer(config: Any, total_steps: int, constant_rate: Collection[str] = ()) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient, as PyTorch does.

    It is of every parameter, or with `optimizer.decayed` = "kernels" of those of convolutions and linear layers alone:
    of vectors, which are BatchNorm's scale and bias and the classifier's bias, there is none.

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
    decay = optax.add_decayed_weights(settings.weight_decay, _is_kernel if settings.decayed == "kernels" else None)
    return optax.chain(decay, update)


def _is_kernel(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)
