"""Floating-point operations of a network's convolutions and matrix products, counted from shapes."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params


def forward_flops(model: Any, state: Any, about: Any, batch_size: int) -> float:
    """Of one forward pass over a batch, two a multiplication and addition; training takes three times as many.

    Products with padding count, as is usual when a rate is compared with a chip's peak. What a network does once a
    batch, as normalising a kernel, counts once.
    """
    images = jax.ShapeDtypeStruct((batch_size, *about.image_size, about.channels), jnp.float32)
    return flops(jax.make_jaxpr(model.predict)(state.params, state.batch_stats, images).jaxpr)


def flops(jaxpr: Any) -> float:
    """Of the convolutions and matrix products of a jaxpr and of what it calls."""
    return sum(_flops(equation) for equation in jaxpr.eqns)


def _flops(equation: Any) -> float:
    out = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * out * math.prod(kernel) / features
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2.0 * out * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return sum(flops(inner) for inner in jaxprs_in_params(equation.params))
