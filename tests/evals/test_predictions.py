"""All predictions on the host, in order, without padding."""

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from softaug_jax.evals import collect


@pytest.mark.parametrize("batch_size", [8, 64])
def test_predictions_are_the_set_s_in_order_without_padding(rng, rows, feature_batches, batch_size):
    values, labels = rng.normal(0, 40, (61, 4)).astype(np.float32), rng.integers(0, 4, 61)
    found = collect(rows, np.float32(2), feature_batches(values, labels, batch_size))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.log_probabilities, log_softmax(2 * values, 1), rtol=1e-5, atol=1e-5)
    assert found.log_probabilities.dtype == np.float32 and found.log_probabilities.min() < -103  # exp of it is 0
    np.testing.assert_allclose(found.probabilities.sum(1), np.ones(61), rtol=1e-5)


def test_what_can_t_be_collected_is_named(rng, rows, feature_batches):
    with pytest.raises(ValueError, match="no batches"):
        collect(rows, np.float32(1), [])
    batches = feature_batches(np.ones((5, 2), np.float32), np.zeros(5, int), 8)
    with pytest.raises(ValueError, match=r"shape \(8, 2, 1, 1\); they must be \[B, N\]"):
        collect(jax.jit(lambda state, images: images), np.float32(1), batches)
    with pytest.raises(ValueError, match="every one is masked out"):
        collect(rows, np.float32(1), [{**batch, "mask": ~batch["mask"] & False} for batch in batches])
