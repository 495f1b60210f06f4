"""The device loader: the whole uint8 set in device memory, batches gathered there. Needs no TensorFlow."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.data.sources import Arrays


@partial(jax.tree_util.register_dataclass, data_fields=("rows", "labels"), meta_fields=("image_shape",))
@dataclass(frozen=True)
class DeviceData:
    """A set in device memory, on every device.

    An image is a row: of [n, H, W, C] a TPU puts n last, and would lay out all of the set anew to read a batch.
    """

    rows: jax.Array  # uint8 [n, H * W * C]
    labels: jax.Array  # int32 [n]
    image_shape: tuple[int, int, int]  # H, W, C


def put(arrays: Arrays, sharding: jax.sharding.Sharding) -> DeviceData:
    """Copies the set to the devices; every process holds all of it."""
    rows = arrays.images.reshape(len(arrays.images), -1)
    return DeviceData(place(rows, sharding), place(arrays.labels, sharding), arrays.images.shape[1:])


def place(values: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    """A global array of which every process holds the whole, and places what is its own.

    `jax.device_put` would send all of it from the first process to the others, to compare.
    """
    return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])


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
        chosen = indices(epoch_order, epoch, step, batch_size)
        images = data.rows[chosen].reshape(-1, *data.image_shape)
        return {"image": images, "label": data.labels[chosen]}


def indices(
    epoch_order: jax.Array, epoch: jax.typing.ArrayLike, step: jax.typing.ArrayLike, batch_size: int
) -> jax.Array:
    """The numbers of the examples of a step of this epoch, int32 [B]; `epoch_order` is what `order` returned, [2 n]."""
    start = step * batch_size - jnp.asarray(epoch) * (epoch_order.shape[0] // 2)
    return jax.lax.dynamic_slice(epoch_order, (start,), (batch_size,))
