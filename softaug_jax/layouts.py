"""How an array lies in a TPU's memory, for the few places where its compiler's own choice costs more."""

from __future__ import annotations

import jax
from jax.experimental.layout import Layout, with_layout_constraint


def on_tpu(array: jax.Array, *major_to_minor: int) -> jax.Array:
    """The same array, with its axes in this order in a TPU's memory; elsewhere the compiler chooses.

    The last axis named is the one along which a TPU computes 128 numbers at once, so it should be a long one.
    """
    constrain = lambda array: with_layout_constraint(array, Layout(major_to_minor))
    return jax.lax.platform_dependent(array, tpu=constrain, default=lambda array: array)
