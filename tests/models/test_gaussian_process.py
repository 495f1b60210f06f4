"""The Gaussian process on random features, against its formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from softaug_jax.models.gaussian_process import GaussianProcess, Options, mean_field

OPTIONS = Options(num_features=12, amplitude=2.0, length_scale=1.5, ridge=0.5, momentum=0.8, mean_field=0.7)


def features_by_hand(process, features):
    h = (features - features.mean(-1, keepdims=True)) / features.std(-1, keepdims=True)
    return 2.0 * np.sqrt(2 / 12) * np.cos(h @ np.asarray(process.frequencies[...]) + np.asarray(process.phases[...]))


def test_mean_precision_and_prediction_by_hand(rng):
    process = GaussianProcess(5, 3, num_train=40, options=OPTIONS, rngs=nnx.Rngs(0))
    beta = np.asarray(process.mean.kernel[...], np.float64)
    moment, weight = np.zeros((12, 12)), 0.0
    for _ in range(3):
        batch = rng.normal(size=(8, 5))
        phi = features_by_hand(process, batch)
        np.testing.assert_allclose(process(jnp.float32(batch)), phi @ beta, atol=1e-4)
        moment, weight = 0.8 * moment + 0.2 * phi.T @ phi / 8, 0.8 * weight + 0.2
    precision = 0.5 * np.eye(12) + 40 * moment / weight
    np.testing.assert_allclose(process.precision(OPTIONS.ridge), precision, rtol=1e-4, atol=1e-4)
    test = rng.normal(size=(4, 5))
    phi = features_by_hand(process, test)
    variance = 0.5 * np.diag(phi @ np.linalg.inv(precision) @ phi.T)
    expected = phi @ beta / np.sqrt(1 + 0.7 * variance)[:, None]
    process.set_view(use_running_average=True)
    np.testing.assert_allclose(process(jnp.float32(test)), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(process.precision(OPTIONS.ridge), precision, rtol=1e-4, atol=1e-4)


def test_before_the_first_step_the_posterior_is_the_prior(rng):
    process = GaussianProcess(5, 3, num_train=40, options=OPTIONS, rngs=nnx.Rngs(0))
    phi = jnp.float32(rng.normal(size=(4, 12)))
    np.testing.assert_allclose(process.variance(phi), np.square(phi).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("spread", [0.02, 0.002])
def test_a_million_similar_images_leave_the_variance_finite_and_right(rng, spread):
    """Features that hardly differ, as early in training: their sum is nearly of rank one, and float32 rounds it."""
    options = Options(num_features=256, amplitude=8.0, length_scale=2.0, ridge=1.0, momentum=0.0, mean_field=0.4)
    process = GaussianProcess(64, 3, num_train=1_281_167, options=options, rngs=nnx.Rngs(0))
    similar = rng.normal(size=64) + spread * rng.normal(size=(128, 64))
    process(jnp.float32(similar))
    other = process.random_features(jnp.float32(rng.normal(size=(8, 64))))
    variance, phi = process.variance(other), np.float64(other)
    seen = 1_281_167 * np.float64(process.moment[...])
    ridge = 1e-9 * 256 * np.trace(seen)
    expected = ridge * np.diag(phi @ np.linalg.inv(ridge * np.eye(256) + seen) @ phi.T)
    np.testing.assert_allclose(variance, expected, rtol=0.02)
    assert (variance < (phi**2).sum(-1)).all(), "no more than the prior's"
    assert (process.variance(process.random_features(jnp.float32(similar))) < 0.01).all()


def test_the_features_make_the_kernel():
    """phi . phi' tends to s^2 exp(-|h - h'|^2 / (2 l^2 F)) with the number of random features (Eq. 7)."""
    options = OPTIONS._replace(num_features=4000, length_scale=0.8)
    process = GaussianProcess(6, 2, num_train=1, options=options, rngs=nnx.Rngs(1))
    features = np.random.default_rng(0).normal(size=(3, 6))
    h = (features - features.mean(-1, keepdims=True)) / features.std(-1, keepdims=True)
    squares = ((h[:, None] - h[None]) ** 2).sum(-1)
    phi = np.asarray(process.random_features(jnp.float32(features)))
    np.testing.assert_allclose(phi @ phi.T, 2.0**2 * np.exp(-squares / (2 * 0.8**2 * 6)), atol=0.24)


def test_mean_field_logits_shrink_with_the_variance():
    shrunk = mean_field(jnp.array([[2.0, -1.0], [2.0, -1.0]]), jnp.array([0.0, 3.0]), 1.0)
    np.testing.assert_allclose(shrunk, [[2.0, -1.0], [1.0, -0.5]])
    np.testing.assert_allclose(jax.grad(lambda v: mean_field(jnp.ones((1, 1)), v, 1.0).sum())(jnp.zeros(1)), [-0.5])
