"""Calibration errors against loops in NumPy, and the temperature against SciPy's optimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from softaug_jax.calibration import adaptive_calibration_error, classwise_calibration_error, fit_temperature
from softaug_jax.metrics import expected_calibration_error


def binned_gap(confidence, correct, num_bins):
    """Sum over right-closed bins of |sum of correct - sum of confidence|, bin after bin."""
    total = 0.0
    for m in range(num_bins):
        low, high = np.float32(m) / np.float32(num_bins), np.float32(m + 1) / np.float32(num_bins)
        inside = (confidence > low) & (confidence <= high)
        if m == 0:
            inside |= confidence == 0
        total += abs(sum(correct[inside]) - sum(confidence[inside].astype(float)))
    return total


def ece_by_loop(probabilities, labels, num_bins):
    return binned_gap(probabilities.max(1), probabilities.argmax(1) == labels, num_bins) / len(labels)


def classwise_by_loop(probabilities, labels, num_bins):
    classes = range(probabilities.shape[1])
    return np.mean([binned_gap(probabilities[:, c], labels == c, num_bins) for c in classes]) / len(labels)


def adaptive_by_loop(probabilities, labels, num_bins):
    """Sorts, shares ties, and deals out the sorted examples one by one."""
    confidence, correct = probabilities.max(1), (probabilities.argmax(1) == labels).astype(float)
    shared = np.array([correct[confidence == value].mean() for value in confidence])
    total, order = 0.0, np.argsort(confidence)
    for m in range(num_bins):
        inside = [i for rank, i in enumerate(order) if rank * num_bins // len(labels) == m]
        total += abs(shared[inside].sum() - confidence[inside].astype(float).sum())
    return total / len(labels)


METRICS = [
    (expected_calibration_error, ece_by_loop),
    (classwise_calibration_error, classwise_by_loop),
    (adaptive_calibration_error, adaptive_by_loop),
]


def cases():
    rng = np.random.default_rng(0)
    draw = lambda n, classes, scale: softmax(scale * rng.normal(size=(n, classes)), 1).astype(np.float32)
    uniform = lambda n, classes: rng.integers(0, classes, n)
    yield "random", draw(237, 10, 3.0), uniform(237, 10)
    yield "two classes", draw(101, 2, 1.0), uniform(101, 2)
    right = draw(64, 4, 2.0)
    yield "all right", right, right.argmax(1)
    yield "one example", draw(1, 4, 1.0), np.array([2])
    yield "a class absent", draw(90, 4, 1.0), uniform(90, 3)
    yield "sure", np.eye(4, dtype=np.float32)[uniform(50, 4)], uniform(50, 4)
    edges = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2 / 3, 0.8, 0.9], np.float32)
    yield "on edges", np.stack([edges, 1 - edges], 1), np.array([0, 0, 1, 0, 1, 0, 1, 1, 0])
    yield "ties", np.tile(np.array([[0.7, 0.3], [0.6, 0.4]], np.float32), (20, 1)), uniform(40, 2)


PADDED = 240  # so that all cases of so many classes share one compiled program


def padded(probabilities, labels):
    """With examples that do not count, which would be noticed."""
    extra, classes = PADDED - len(labels), probabilities.shape[1]
    wrong = np.tile(np.linspace(1.0, 0.0, classes, dtype=np.float32), (extra, 1))
    mask = np.arange(PADDED) < len(labels)
    return np.r_[probabilities, wrong], np.r_[labels, np.full(extra, classes - 1)], mask


@pytest.mark.parametrize("num_bins", [1, 15])
@pytest.mark.parametrize(("metric", "by_loop"), METRICS, ids=["ece", "classwise", "adaptive"])
def test_errors_are_those_of_a_loop(metric, by_loop, num_bins):
    jitted = jax.jit(metric, static_argnames="num_bins")
    for name, probabilities, labels in cases():
        wanted = by_loop(probabilities, labels, num_bins)
        examples, classes, mask = padded(probabilities, labels)
        found = jitted(examples, classes, num_bins=num_bins, mask=mask)
        assert found.shape == () and found.dtype == jnp.float32
        np.testing.assert_allclose(found, wanted, atol=2e-6, err_msg=name)


def test_ten_bins_are_the_default_of_all():
    (_, probabilities, labels), *_ = cases()
    for metric, by_loop in METRICS:
        np.testing.assert_allclose(metric(probabilities, labels), by_loop(probabilities, labels, 10), atol=2e-6)


@pytest.mark.parametrize(("metric", "by_loop"), METRICS, ids=["ece", "classwise", "adaptive"])
def test_what_is_masked_and_the_order_change_nothing(rng, metric, by_loop):
    probabilities = np.round(softmax(rng.normal(size=(80, 3)), 1), 1).astype(np.float32)  # many ties
    labels, mask = rng.integers(0, 3, 80), rng.random(80) < 0.6
    order = rng.permutation(80)
    jitted = jax.jit(metric, static_argnames="num_bins")
    found = jitted(probabilities[order], labels[order], num_bins=7, mask=mask[order])
    np.testing.assert_allclose(found, by_loop(probabilities[mask], labels[mask], 7), atol=2e-6)
    assert metric(probabilities, labels, mask=np.zeros(80, bool)) == 0


@pytest.mark.parametrize("function", [classwise_calibration_error, adaptive_calibration_error, fit_temperature])
def test_leading_axes_are_one_long_batch(rng, function):
    scores, labels, mask = softmax(rng.normal(size=(80, 3)), 1), rng.integers(0, 3, 80), rng.random(80) < 0.6
    found = function(scores.reshape(5, 16, 3), labels.reshape(5, 16), mask=mask.reshape(5, 16))
    np.testing.assert_array_equal(found, function(scores, labels, mask=mask))


def test_masked_examples_make_no_nan_on_the_way():
    (_, probabilities, labels), *_ = cases()
    examples, classes, mask = padded(probabilities, labels)
    with jax.debug_nans(True):
        adaptive_calibration_error(examples, classes, mask=mask)


@pytest.mark.parametrize("metric", [classwise_calibration_error, adaptive_calibration_error])
def test_static_mistakes_are_named(metric):
    with pytest.raises(ValueError, match="num_bins = 0"):
        metric(np.ones((2, 2)) / 2, np.zeros(2, int), num_bins=0)
    with pytest.raises(ValueError, match=r"probabilities have shape \(2, 2\), labels \(3,\)"):
        metric(np.ones((2, 2)) / 2, np.zeros(3, int))
    with pytest.raises(ValueError, match="mask has shape"):
        metric(np.ones((2, 2)) / 2, np.zeros(2, int), mask=np.ones(3))


def nll(log_temperature, logits, labels):
    scaled = log_softmax(logits.astype(float) / np.exp(log_temperature), 1)
    return -scaled[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize(("classes", "scale"), [(10, 0.3), (10, 1.0), (2, 5.0), (100, 8.0)])
def test_the_temperature_is_the_one_of_the_smallest_nll(rng, classes, scale):
    true = rng.normal(size=(400, classes)) * 2
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)  # drawn from softmax(true), so T = scale is near the best
    logits = (scale * true + rng.normal(size=(400, 1)) * 30).astype(np.float32)  # a shift a row changes nothing
    found = float(jax.jit(fit_temperature)(logits, labels))
    best = minimize_scalar(nll, bounds=(np.log(0.01), np.log(100)), args=(logits, labels), options={"xatol": 1e-9})
    assert found == pytest.approx(np.exp(best.x), rel=2e-3)
    assert nll(np.log(found), logits, labels) <= best.fun + 1e-6
    assert found == pytest.approx(scale, rel=0.35)
    mask = np.arange(500) < 400
    padded = np.r_[logits, 50 * rng.normal(size=(100, classes)).astype(np.float32)]
    assert float(fit_temperature(padded, np.r_[labels, np.zeros(100, int)], mask=mask)) == pytest.approx(found)


def test_a_probability_of_zero_has_a_temperature():
    p, labels = np.array([[1.0, 0.0], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]], np.float32), np.array([0, 0, 0, 1])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    ruled_out = float(fit_temperature(logits, labels))
    assert ruled_out == pytest.approx(float(fit_temperature(np.log(p.clip(1e-7)), labels)), rel=1e-3)
    assert float(fit_temperature(logits, np.array([1, 0, 0, 1]))) == pytest.approx(100.0)  # no T makes it possible


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_has_no_part_in_the_temperature(label):
    logits, labels = np.array([[2.0, 0.0]] * 4, np.float32), np.array([0, 0, 0, 1])
    found = fit_temperature(np.r_[logits, logits[:1]], np.r_[labels, label])
    np.testing.assert_array_equal(found, fit_temperature(logits, labels))


def test_the_temperature_of_nan_is_nan_unless_it_does_not_count():
    logits, labels = np.array([[2.0, 0.0]] * 4 + [[np.nan, 0.0]], np.float32), np.array([0, 0, 0, 1, 0])
    assert np.isnan(fit_temperature(logits, labels))
    assert np.isfinite(fit_temperature(logits, labels, mask=np.arange(5) < 4))


def test_a_temperature_without_a_best_one_is_a_bound():
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    assert float(fit_temperature(logits, np.array([0, 1]))) == pytest.approx(0.01)
    assert float(fit_temperature(logits, np.array([1, 0]), bounds=(0.5, 20.0))) == pytest.approx(20.0)
    assert float(fit_temperature(np.zeros((3, 4)), np.zeros(3, int))) == 1.0
    assert float(fit_temperature(1000 * logits, np.array([0, 1]))) == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"bounds\[0\] = 0 must be greater than 0"):
        fit_temperature(logits, np.array([0, 1]), bounds=(0, 1))
    with pytest.raises(ValueError, match=r"bounds\[1\] = 1 must be greater than 2"):
        fit_temperature(logits, np.array([0, 1]), bounds=(2, 1))
