"""From batches on the host to global arrays on the devices."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping

import jax
import numpy as np


def to_device(
    batches: Iterable[Mapping[str, np.ndarray]], sharding: jax.sharding.Sharding, depth: int = 2
) -> Iterator[dict[str, jax.Array]]:
    """Yields each batch as global arrays, with the copies of the next ones under way.

    Args:
      batches: this process's part of each global batch; every field has the examples on its leading axis.
      sharding: of the leading axis, over the devices of all processes.
      depth: how many batches are on the devices or on their way, the one that is yielded included, at least 1.

    Yields:
      The fields as arrays of the global batch, whose leading axis is the process's times the number of processes.
    """
    if depth < 1:
        raise ValueError(f"depth = {depth} must be at least 1.")
    waiting: collections.deque[dict[str, jax.Array]] = collections.deque()
    for batch in batches:
        waiting.append({name: _to_global(field, sharding) for name, field in batch.items()})
        if len(waiting) == depth:
            yield waiting.popleft()
    yield from waiting


def _to_global(field: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    # Every process holds an equal part, so the global length follows from the local one.
    global_shape = (field.shape[0] * jax.process_count(), *field.shape[1:])
    return jax.make_array_from_process_local_data(sharding, field, global_shape)
