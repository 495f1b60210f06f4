"""An ensemble's probabilities are the mean of its members'."""

import doctest

import numpy as np
import pytest
from scipy.special import log_softmax

from softaug_jax.evals import Predictions
from softaug_jax.evaluate import ensemble as module
from softaug_jax.evaluate import examples
from softaug_jax.evaluate.ensemble import ensemble


def test_probabilities_are_the_members_mean(rng):
    logits = rng.normal(0, 8, (3, 50, 7)).astype(np.float32)
    labels = rng.integers(0, 7, 50)
    members = [Predictions(log_softmax(one, -1), labels) for one in logits]
    found = ensemble(members)
    exact = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(-1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, exact.mean(0), rtol=1e-5)
    assert found.log_probabilities.dtype == np.float32
    np.testing.assert_array_equal(ensemble(members[:1]).log_probabilities, members[0].log_probabilities)


def test_what_no_member_says_to_be_possible_stays_finite():
    sure = Predictions(np.array([[0.0, -200.0]], np.float32), np.array([1]))  # exp(-200) is 0 in float32
    np.testing.assert_allclose(ensemble([sure, sure]).log_probabilities, sure.log_probabilities, rtol=1e-6)


def test_members_must_be_of_the_same_examples():
    one = Predictions(np.zeros((2, 2), np.float32), np.array([0, 1]))
    with pytest.raises(ValueError, match="the same examples"):
        ensemble([one, one._replace(labels=np.array([1, 0]))])
    with pytest.raises(ValueError, match="at least one member"):
        ensemble([])


@pytest.mark.parametrize("documented", [module, examples])
def test_the_example_runs(documented):
    failed, tried = doctest.testmod(documented, extraglobs={"np": np})
    assert (failed, tried > 0) == (0, True)
