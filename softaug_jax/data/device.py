"""The device loader: the whole uint8 set in device memory, batches gathered there. Needs no TensorFlow."""

from __future__ import annotations

import zlib
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.data.sources import Arrays


class DeviceData(NamedTuple):
    """A set in device memory, on every device."""

    images: jax.Array  # uint8 [n, H, W, C]
    labels: jax.Array  # int32 [n]


def put(arrays: Arrays, sharding: jax.sharding.Sharding) -> DeviceData:
    """Copies the set to the devices."""
    return DeviceData(jax.device_put(arrays.images, sharding), jax.device_put(arrays.labels, sharding))


@partial(jax.jit, static_argnames="num_examples")
def order(key: jax.Array, epoch: jax.typing.ArrayLike, *, num_examples: int) -> jax.Array:
    """The order of this epoch's examples and, for the batch that straddles its end, the next one's: int32 [2 n]."""
    key = jax.random.fold_in(key, zlib.crc32(b"order"))
    permutation = lambda e: jax.random.permutation(jax.random.fold_in(key, e), num_examples)
    return jnp.concatenate([permutation(epoch), permutation(jnp.asarray(epoch) + 1)])


def batch(
    data: DeviceData, epoch_order: jax.Array, epoch: jax.typing.ArrayLike, step: jax.typing.ArrayLike, batch_size: int
) -> dict[str, jax.Array]:
    """The batch of a step of this epoch: `image` uint8 [B, H, W, C], `label` int32 [B]."""
    with jax.named_scope("input"):
        start = step * batch_size - jnp.asarray(epoch) * data.labels.shape[0]
        indices = jax.lax.dynamic_slice(epoch_order, (start,), (batch_size,))
        return {"image": data.images[indices], "label": data.labels[indices]}
