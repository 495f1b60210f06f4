"""Each half is scaled by the temperature of the other."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from softaug_jax.evals import Predictions
from softaug_jax.evaluate.temperature import cross_fit, halves


def best_temperature(logits, labels):
    nll = lambda t: -log_softmax(logits.astype(float) / np.exp(t), 1)[np.arange(len(labels)), labels].mean()
    return np.exp(minimize_scalar(nll, bounds=(-4, 4), options={"xatol": 1e-9}).x)


def test_no_example_is_scaled_by_a_temperature_that_it_helped_to_fit(rng):
    true = rng.normal(size=(301, 5))
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)
    logits = (true * rng.choice([1.0, 6.0], (301, 1))).astype(np.float32)
    found = cross_fit(Predictions(log_softmax(logits, 1), labels), seed=4)
    first = halves(301, seed=4)
    assert first.sum() == 150 and (halves(301, seed=5) != first).any()
    by_half = [best_temperature(logits[half], labels[half]) for half in (first, ~first)]
    assert abs(by_half[0] - by_half[1]) > 0.01
    np.testing.assert_allclose(found.temperatures, by_half, rtol=2e-3)
    for half, temperature in ((~first, by_half[0]), (first, by_half[1])):
        wanted = log_softmax(logits[half] / temperature, 1)
        np.testing.assert_allclose(found.predictions.log_probabilities[half], wanted, rtol=4e-3, atol=1e-4)
    np.testing.assert_array_equal(found.predictions.labels, labels)


def test_one_example_has_nothing_to_fit_on():
    found = cross_fit(Predictions(np.log(np.array([[0.9, 0.1]], np.float32)), np.array([0])))
    assert found.temperatures[0] == 1.0  # fitted on no example, and used on this one
    np.testing.assert_allclose(found.predictions.probabilities, [[0.9, 0.1]], rtol=1e-6)
