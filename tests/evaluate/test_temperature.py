"""Each half is scaled by the temperature of the other."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from configs.calibration import get_config
from softaug_jax.evals import Predictions
from softaug_jax.evaluate import calibration
from softaug_jax.evaluate.results import Results
from softaug_jax.evaluate.temperature import cross_fit, halves


def best_temperature(logits, labels):
    nll = lambda t: -log_softmax(logits.astype(float) / np.exp(t), 1)[np.arange(len(labels)), labels].mean()
    return np.exp(minimize_scalar(nll, bounds=(-4, 4), options={"xatol": 1e-9}).x)


def test_no_example_is_scaled_by_a_temperature_that_it_helped_to_fit(rng):
    true = rng.normal(size=(301, 5))
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)
    logits = (true * rng.choice([1.0, 6.0], (301, 1))).astype(np.float32)
    found = cross_fit(Predictions(log_softmax(logits, 1), labels), seed=4)
    right = logits.argmax(1) == labels
    first = halves(right, seed=4)
    assert first.sum() == 150 and (halves(right, seed=5) != first).any()
    assert abs(right[first].sum() - right[~first].sum()) <= 1
    by_half = [best_temperature(logits[half], labels[half]) for half in (first, ~first)]
    assert abs(by_half[0] - by_half[1]) > 0.01
    np.testing.assert_allclose(found.temperatures, by_half, rtol=2e-3)
    for half, temperature in ((~first, by_half[0]), (first, by_half[1])):
        wanted = log_softmax(logits[half] / temperature, 1)
        np.testing.assert_allclose(found.predictions.log_probabilities[half], wanted, rtol=4e-3, atol=1e-4)
    np.testing.assert_array_equal(found.predictions.labels, labels)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("wrong", "unfitted"), [(0, 2), (1, 1), (2, 0)])
def test_a_half_without_a_best_temperature_makes_nothing_certain(rng, wrong, unfitted, seed):
    logits, labels = rng.normal(size=(360, 10)).astype(np.float32), rng.integers(0, 10, 360)
    logits[np.arange(360), labels] += 8
    logits[np.arange(wrong), labels[:wrong]] -= 12
    before = log_softmax(logits, 1)
    found = cross_fit(Predictions(before, labels), seed)
    assert found.unfitted == unfitted == found.temperatures.count(1.0)
    nll = lambda log_p: -log_p[np.arange(360), labels].mean()
    assert nll(found.predictions.log_probabilities) < nll(before) + 0.01


def test_the_table_says_of_which_row_there_is_none(tmp_path):
    sure = Predictions(log_softmax(9 * np.eye(4, dtype=np.float32), 1), np.arange(4))
    config = get_config()
    config.num_bins = (10,)
    figures = calibration.measure(sure, config.num_bins, seed=0)
    row = calibration.Scores("sure", ("config", "method", "data", "model", "1"), [figures])
    calibration.write_tables(config, [], [row], Results(tmp_path, config))
    assert "Of sure, no temperature is best on a half of the test set" in (tmp_path / "temperature.md").read_text()
    assert "Of sure" not in (tmp_path / "table.md").read_text()


def test_one_example_has_nothing_to_fit_on():
    found = cross_fit(Predictions(np.log(np.array([[0.9, 0.1]], np.float32)), np.array([0])))
    assert found.temperatures[0] == 1.0  # fitted on no example, and used on this one
    np.testing.assert_allclose(found.predictions.probabilities, [[0.9, 0.1]], rtol=1e-6)


def test_a_prediction_of_nan_spoils_no_other(rng):
    log_probabilities, labels = log_softmax(rng.normal(size=(40, 3)), 1).astype(np.float32), rng.integers(0, 3, 40)
    log_probabilities[7] = np.nan
    found = cross_fit(Predictions(log_probabilities, labels))
    assert found.unfitted == 1
    assert np.isnan(found.predictions.log_probabilities).all(1).sum() == 1
