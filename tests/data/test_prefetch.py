"""The way to the devices: nothing lost, nothing reordered, as far ahead as asked."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from softaug_jax.data.prefetch import to_device


@pytest.fixture
def sharding():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


def batches(count, made):
    for i in range(count):
        made.append(i)
        yield {"image": np.full((16, 2, 2, 1), i, np.uint8), "label": np.arange(16, dtype=np.int32) + i}


@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_all_batches_arrive_in_order_and_sharded(sharding, depth):
    arrived = list(to_device(batches(6, []), sharding, depth))
    assert len(arrived) == 6
    for i, batch in enumerate(arrived):
        assert batch["image"].sharding.is_equivalent_to(sharding, 4)
        assert batch["image"].shape == (16, 2, 2, 1) and batch["image"].dtype == np.uint8
        assert batch["image"].addressable_shards[3].data.shape == (2, 2, 2, 1)
        assert (np.asarray(batch["image"]) == i).all()
        np.testing.assert_array_equal(batch["label"], np.arange(16) + i)


def test_so_many_are_under_way(sharding):
    made = []
    stream = to_device(batches(10, made), sharding, depth=3)
    assert made == []
    next(stream)
    assert made == [0, 1, 2]
    next(stream)
    assert made == [0, 1, 2, 3]


def test_depth_is_checked(sharding):
    with pytest.raises(ValueError, match="depth = 0"):
        next(to_device(batches(1, []), sharding, depth=0))
