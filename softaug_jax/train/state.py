"""The train state, a plain pytree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from softaug_jax.models import Model


class TrainState(NamedTuple):
    """All that training changes, and the key that every draw is a function of, together with the step."""

    params: Any
    batch_stats: Any
    opt_state: Any
    memory: Any  # what the objective remembers (softaug_jax/tasks), or empty
    step: jax.Array  # steps done, int32
    key: jax.Array  # base key; never changes


def create(
    model: Model, optimizer: optax.GradientTransformation, initial_memory: Callable[[], Any], seed: int
) -> TrainState:
    """The state before the first step."""
    init_key, key = _keys(seed)
    params, batch_stats = model.init(init_key)
    return TrainState(params, batch_stats, optimizer.init(params), initial_memory(), jnp.zeros((), jnp.int32), key)


def base_key(seed: int) -> jax.Array:
    """The key that every draw of a run derives from; steps and epochs are folded into it."""
    return _keys(seed)[1]


def _keys(seed: int) -> jax.Array:
    """The key of the initial parameters, and the base key."""
    return jax.random.split(jax.random.key(seed))
