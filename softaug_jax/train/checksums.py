"""Checksums of a state: Orbax gives back a flipped byte as a number like any other."""

from __future__ import annotations

import json
import zlib
from typing import Any

import jax
import numpy as np


def of_arrays(tree: Any) -> dict[str, int]:
    """CRC-32 of each array's bytes, by its path in the tree.

    Taken from a copy on the host, since what is wanted is what the file should hold, on whatever device it is read
    again; one array a checksum, so that the damaged one can be named. A third of a second a GB.
    """
    return {name: zlib.crc32(array.reshape(-1).view(np.uint8).data) for name, array in host_copies(tree).items()}


def of_json(content: dict[str, Any]) -> int:
    """CRC-32 of what JSON makes of a dictionary, whatever its order."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def host_copies(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree on the host, by their paths; keys as the words they are."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    arrays = jax.device_get([_plain(leaf) for _, leaf in leaves])
    return {name: np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=True)}


def _plain(array: jax.Array) -> jax.Array:
    return jax.random.key_data(array) if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key) else array
