"""Small numerical helpers that more than one formula needs."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def power(base: jax.typing.ArrayLike, exponent: jax.typing.ArrayLike) -> jax.Array:
    """`base ** exponent` for base >= 0 and exponent > 0, whose gradient at base 0 is 0. NaN stays NaN.

    The plain power's is infinite there for an exponent below 1, and 0 * inf further down the chain is NaN.
    """
    base = jnp.asarray(base)
    zero = base <= 0
    return jnp.where(zero, 0.0, jnp.where(zero, 1.0, base) ** exponent)


def as_float(x: jax.typing.ArrayLike) -> jax.Array:
    """As a floating-point array of at least float32: integers and half precisions become float32."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def unit(x: jax.Array) -> jax.Array:
    """Vectors [..., D] divided by their Euclidean lengths; zeros stay zeros, with a gradient of 0. NaN stays NaN."""
    square = jnp.sum(jnp.square(x), -1, keepdims=True)
    zero = square == 0
    return x * jnp.where(zero, 0.0, jax.lax.rsqrt(jnp.where(zero, 1.0, square)))
