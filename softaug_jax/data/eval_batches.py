"""Evaluation batches: the last one is padded and masked, so that every example counts exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from softaug_jax.data.device import place
from softaug_jax.data.sources import Arrays


class EvalBatches:
    """The set as batches of one size, kept in device memory; can be iterated again and again.

    Each is `image` uint8 [B, H, W, C], `label` int32 [B], `mask` bool [B] (False is padding) and `index` int32 [B],
    the example's number in the set.
    """

    def __init__(self, arrays: Arrays, batch_size: int, sharding: jax.sharding.Sharding):
        total = len(arrays.labels)
        padded = -(-total // batch_size) * batch_size
        index = np.arange(padded, dtype=np.int32)
        example = index % total  # padding repeats real images, so that nothing unusual reaches the network
        fields = {
            "image": arrays.images[example],
            "label": arrays.labels[example].astype(np.int32),
            "mask": index < total,
            "index": index,
        }
        self._batches = [
            {name: place(values[start : start + batch_size], sharding) for name, values in fields.items()}
            for start in range(0, padded, batch_size)
        ]

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
