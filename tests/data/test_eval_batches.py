import jax
import numpy as np

from softaug_jax.data.eval_batches import EvalBatches
from softaug_jax.data.sources import Arrays
from softaug_jax.train import sharding


def test_every_example_counts_once_and_padding_is_masked():
    arrays = Arrays(np.arange(19, dtype=np.uint8).reshape(19, 1, 1, 1), np.arange(19, dtype=np.int32))
    batches = EvalBatches(arrays, 8, sharding.over().batch)
    assert len(batches) == 3
    for _ in range(2):  # can be read again
        seen = [jax.device_get(batch) for batch in batches]
        assert all(len(batch["label"]) == 8 for batch in seen)
        joined = {name: np.concatenate([batch[name] for batch in seen]) for name in seen[0]}
        np.testing.assert_array_equal(joined["label"][joined["mask"]], np.arange(19))
        np.testing.assert_array_equal(joined["image"].ravel(), joined["label"])
        np.testing.assert_array_equal(joined["index"], np.arange(24))
