"""The linear classifier's standardisation and training, against NumPy in float64 and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from softaug_jax.evals import linear
from softaug_jax.evals.features import Features
from softaug_jax.metrics import classification_sums


def apply(scale, values):
    return (np.asarray(values, np.float64) - np.asarray(scale.mean)) * np.asarray(scale.inverse)


@pytest.mark.parametrize(("offset", "size"), [(0, 1.0), (100, 1.0), (-3, 1e-6), (7, 1e6)])
def test_standardised_features_have_mean_zero_and_equal_variance(rng, offset, size):
    values = (size * (rng.normal(size=(5000, 6)) * [1, 2, 3, 4, 5, 0.1] + offset)).astype(np.float32)
    scaled = apply(linear.standardization(values), values)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0), 1 / np.sqrt(6), rtol=1e-4)
    assert (scaled**2).sum(1).mean() == pytest.approx(1, rel=1e-3)


def test_what_never_changes_is_mapped_to_zero(rng):
    values = rng.normal(size=(50_000, 4)).astype(np.float32)
    values[:, 1] = 0.1  # whose plain float32 sum is far from 5000
    values[:, 2] = 1e3 * (1 + 1e-7 * rng.normal(size=50_000))  # changes by rounding alone
    scale = linear.standardization(values)
    np.testing.assert_array_equal(np.asarray(scale.inverse) == 0, [False, True, True, False])
    assert np.isfinite(scale.mean).all()
    np.testing.assert_array_equal(apply(scale, 2 * values)[:, 1:3], 0)
    np.testing.assert_array_equal(linear.standardization(values[:1]).inverse, 0)  # of one example, nothing is known


def by_hand(x, labels, num_classes, learning_rate, weight_decay, steps):
    """Full-batch gradient descent with Nesterov momentum as PyTorch defines it."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    parameters = np.zeros((x.shape[1], num_classes))
    trace = np.zeros_like(parameters)
    for step in range(steps):
        p = np.exp(x @ parameters)
        p /= p.sum(1, keepdims=True)
        gradient = x.T @ (p - np.eye(num_classes)[labels]) / len(x) + weight_decay * parameters
        trace = 0.9 * trace + gradient
        rate = learning_rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        parameters -= rate * (gradient + 0.9 * trace)
    return parameters[:-1], parameters[-1]


def train(values, labels, num_classes, optimizer, batch_size, epochs, seed=0):
    features = Features(jnp.asarray(values), jnp.asarray(labels))
    scale = linear.standardization(values)
    fit = linear.start(values.shape[1], num_classes, optimizer)
    for epoch in range(epochs):
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        fit = linear.train_epoch(fit, features, scale, key, batch_size=batch_size, optimizer=optimizer)
    return fit.classifier, scale


@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
def test_steps_are_those_of_numpy(rng, weight_decay):
    values = rng.normal(3, 2, (30, 5)).astype(np.float32)
    labels = rng.integers(0, 4, 30, dtype=np.int32)
    optimizer = linear.Optimizer(0.7, weight_decay, total_steps=12)
    classifier, scale = train(values, labels, 4, optimizer, batch_size=30, epochs=12)
    weights, bias = by_hand(apply(scale, values), labels, 4, 0.7, weight_decay, steps=12)
    assert np.abs(weights).max() > 0.3
    np.testing.assert_allclose(classifier.weights, weights, atol=1e-5)
    np.testing.assert_allclose(classifier.bias, bias, atol=1e-5)


def test_an_epoch_shows_each_example_at_most_once_in_the_key_s_order():
    """At so small a learning rate each step adds the same to the biases of its labels, an earlier step more."""
    labels = np.arange(10, dtype=np.int32)
    optimizer = linear.Optimizer(1e-4, 0.0, total_steps=10**9)
    features = Features(jnp.ones((10, 1)), jnp.asarray(labels))
    scale = linear.standardization(features.values)
    left_out = []
    for seed in range(8):
        fit = linear.start(1, 10, optimizer)
        fit = linear.train_epoch(fit, features, scale, jax.random.key(seed), batch_size=3, optimizer=optimizer)
        bias = np.asarray(fit.classifier.bias)
        left_out.append(bias.argmin())
        counts = np.unique(np.round(bias / np.abs(bias).max(), 3), return_counts=True)[1]
        np.testing.assert_array_equal(counts, [1, 3, 3, 3])  # the least is of the label that no step saw
    assert len(set(left_out)) > 3


def test_the_loss_is_that_of_the_optimum(rng):
    """Classes that overlap, so that the optimum is finite."""
    labels = rng.integers(0, 4, 2000, dtype=np.int32)
    values = (rng.normal(size=(4, 10))[labels] + 1.5 * rng.normal(size=(2000, 10))).astype(np.float32)
    values = values * np.geomspace(1e-3, 1e3, 10, dtype=np.float32) + np.arange(10, dtype=np.float32)
    optimizer = linear.Optimizer(3.0, 0.0, total_steps=30 * (2000 // 256))
    classifier, scale = train(values, labels, 4, optimizer, batch_size=256, epochs=30)
    sums = classification_sums(linear.logits(classifier, scale, values), labels)
    x = apply(scale, values)
    best = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(x, labels).predict_log_proba(x)
    optimum = -best[np.arange(2000), labels].mean()
    assert 0.3 < optimum < 1.2
    assert optimum - 1e-6 < float(sums.nll) / 2000 < 1.005 * optimum
