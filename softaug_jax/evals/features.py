"""Features of a whole set, taken once from a frozen network."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from softaug_jax.evals.protocol import Batches, Predict, checked_count


class Features(NamedTuple):
    """The features and classes of a set's examples, in the set's order; padding is gone. All of it on every device."""

    values: jax.Array  # float32 [n, F]
    labels: jax.Array  # int32 [n]


def extract(predict: Predict, state: Any, batches: Batches) -> Features:
    """Runs the network over a set and keeps what it returns, on every device.

    Args:
      predict: from (state, images) to features [B, F].
      state: what `predict` needs.
      batches: the set; `protocol` describes it. Examples whose mask is false are left out.

    Returns:
      Features [n, F] and labels [n] of the n examples that are no padding.

    Raises:
      ValueError: if there is no example, or `predict` returns something other than [B, F].
    """
    parts = []
    for batch in batches:
        parts.append((predict(state, batch["image"]), batch["label"], batch["mask"]))
    if not parts:
        raise ValueError("There are no batches to evaluate on.")
    if parts[0][0].ndim != 2:
        raise ValueError(f"predict returned features of shape {parts[0][0].shape}; they must be [B, F].")
    sharding = parts[0][2].sharding
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec())
    # Waited for, before and after: a CPU's virtual devices share their threads, and those that wait to join their parts
    # can starve a computation that still runs.
    columns = zip(*jax.block_until_ready(parts), strict=True)
    join = jax.jit(_join, out_shardings=sharding)
    values, labels, mask = (jax.block_until_ready(join(column)) for column in columns)
    real = np.flatnonzero(mask)
    checked_count(len(real))
    return Features(_take(values, real), _take(labels, real))


def direction(values: jax.Array) -> jax.Array:
    """Scales each row of [n, F] to length one, whatever its length was; a zero row stays zero."""
    largest = jnp.max(jnp.abs(values), -1, keepdims=True)
    # Otherwise the squares of very small or very large values would be 0 or infinite.
    scaled = values / jnp.where(largest > 0, largest, 1.0)
    length = jnp.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / jnp.where(length > 0, length, 1.0)


def _join(parts: tuple[jax.Array, ...]) -> jax.Array:
    joined = jnp.concatenate(parts)
    return joined.astype(jnp.float32) if jnp.issubdtype(joined.dtype, jnp.floating) else joined


@jax.jit
def _take(values: jax.Array, index: jax.Array) -> jax.Array:
    return values[index]
