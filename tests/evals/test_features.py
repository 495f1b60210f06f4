"""Features of a whole set: which, in what order, of what length."""

import jax
import numpy as np
import pytest

from softaug_jax.evals.features import direction, extract


@pytest.mark.parametrize(("batch_size", "devices"), [(8, 8), (16, 8), (40, 1), (37, 1), (64, 4)])
def test_all_real_examples_in_their_order_and_no_padding(rng, rows, feature_batches, batch_size, devices):
    values = rng.normal(size=(37, 5)).astype(np.float32)
    labels = rng.integers(0, 3, 37, dtype=np.int32)
    features = extract(rows, np.float32(2), feature_batches(values, labels, batch_size, devices))
    np.testing.assert_array_equal(features.values, 2 * values)
    np.testing.assert_array_equal(features.labels, labels)
    assert features.values.sharding.is_fully_replicated
    assert len(features.values.devices()) == devices


def test_padding_may_be_anywhere(rng, rows, feature_batches):
    values, labels = rng.normal(size=(24, 2)).astype(np.float32), np.arange(24, dtype=np.int32)
    batches = feature_batches(values, labels, 8)
    masks = rng.random((3, 8)) < 0.5
    batches = [{**b, "mask": jax.device_put(m, b["mask"].sharding)} for b, m in zip(batches, masks, strict=True)]
    features = extract(rows, np.float32(1), batches)
    np.testing.assert_array_equal(features.labels, labels[masks.ravel()])
    np.testing.assert_array_equal(features.values, values[masks.ravel()])


def test_nothing_to_read_and_wrong_shapes_are_errors(rng, rows, feature_batches):
    batches = feature_batches(np.ones((8, 2)), np.zeros(8, np.int32), 8)
    with pytest.raises(ValueError, match="no batches"):
        extract(rows, np.float32(1), [])
    with pytest.raises(ValueError, match="masked out"):
        extract(rows, np.float32(1), [{**b, "mask": b["mask"] & False} for b in batches])
    with pytest.raises(ValueError, match=r"\(8, 2, 1, 1\); they must be \[B, F\]"):
        extract(lambda state, images: images, None, batches)


@pytest.mark.parametrize("size", [1e-35, 1e-20, 1.0, 1e20, 1e37])
def test_rows_get_length_one_whatever_theirs_is(rng, size):
    values = (size * rng.normal(size=(20, 7))).astype(np.float32)
    values[3] = 0
    wanted = values.astype(np.float64)
    wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-300)
    np.testing.assert_allclose(jax.jit(direction)(values), wanted, atol=1e-6)
