"""Images with a pixel's channels in one integer, as a policy's passes hand them to each other.

Moving a pixel is then one look-up instead of one a channel, and a pass reads and writes a third of the bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp


def pack(planes: Iterable[jax.Array]) -> jax.Array:
    """Up to three channels, whole numbers 0 to 255, each [...], as int32 [...]."""
    shifted = [plane.astype(jnp.int32) << (8 * channel) for channel, plane in enumerate(planes)]
    return functools.reduce(jnp.bitwise_or, shifted)


def unpack(words: jax.Array, channels: int) -> list[jax.Array]:
    """The channels again, int32 [...] each."""
    return [(words >> (8 * channel)) & 255 for channel in range(channels)]


def stored(words: jax.Array) -> jax.Array:
    """The same numbers, 0 to 2**24 - 1. On a CPU they are worked out once, and not again for every pixel that is read.

    XLA fuses passes there into those that read them, at several times the cost for RandAugment. It stops at a sum over
    an axis; `optimization_barrier` does not help.
    """
    return jax.lax.platform_dependent(words, cpu=_by_a_sum, default=lambda words: words)


def _by_a_sum(words: jax.Array) -> jax.Array:
    halves = jnp.stack([words & 0xFFF, words >> 12], axis=-1)
    place = jnp.array([0, 12], jnp.int32).reshape((1,) * words.ndim + (2,))
    return jnp.sum(halves << place, axis=-1, dtype=jnp.int32)
