"""Sets whose images are features, and a network that returns them."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec


@pytest.fixture
def rows():
    """A jitted predict function: the images [B, F, 1, 1] hold the features, which it multiplies with the state."""
    return jax.jit(lambda state, images: state * images[:, :, 0, 0].astype(np.float32))


@pytest.fixture
def feature_batches(rng):
    """Cuts features [n, F] and labels into batches; the last is padded with nonsense that would be noticed."""

    def cut(values, labels, batch_size, devices=8):
        mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
        sharding = NamedSharding(mesh, PartitionSpec("data"))
        result = []
        for start in range(0, len(labels), batch_size):
            real = len(labels[start : start + batch_size])
            batch = {
                "image": rng.normal(0, 30, (batch_size, values.shape[1], 1, 1)).astype(np.float32),
                "label": rng.integers(0, labels.max() + 1, batch_size, dtype=np.int32),
                "mask": np.arange(batch_size) < real,
                "index": np.arange(start, start + batch_size, dtype=np.int32),
            }
            batch["image"][:real, :, 0, 0] = values[start : start + real]
            batch["label"][:real] = labels[start : start + real]
            result.append(jax.device_put(batch, sharding))
        return result

    return cut
