"""What an evaluator is, what it is given, and how it adds up what the devices counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import jax
import numpy as np

# predict(state, images [B, H, W, C], uint8 or float, pixels from 0 to 255) -> float32 logits [B, N]. It normalises the
# images itself and is already jitted.
Predict = Callable[[Any, jax.Array], jax.Array]

# "image" uint8 [B, H, W, C], "label" int32 [B], "mask" bool [B], false where the example is padding, and "index"
# int32 [B], the example's number in the set. All on the devices.
Batch = Mapping[str, jax.Array]

# One pass over the set each time it is iterated.
Batches = Iterable[Batch]

Sums = TypeVar("Sums")


class Evaluator(Protocol):
    """Measures a model; knows nothing of how it was trained."""

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields names and numbers."""
        ...


def add_up(parts: Iterable[Sums]) -> Sums:
    """Adds the sums of the batches, in float64, on the host.

    All batches are dispatched before the first result is read, so the devices do not wait for the host.

    Args:
      parts: one tree of arrays a batch, all of one structure.

    Returns:
      The same tree, of float64 NumPy arrays.

    Raises:
      ValueError: if there are no batches.
    """
    read = jax.device_get(list(parts))
    if not read:
        raise ValueError("There are no batches to evaluate on.")
    return jax.tree.map(lambda *values: np.sum(np.asarray(values, np.float64), axis=0), *read)


def checked_count(count: Any) -> float:
    """The number of examples as a float; raises ValueError if every one was padding."""
    if count < 1:
        raise ValueError("There are no examples to evaluate on: every one is masked out.")
    return float(count)
