"""DUQ's loss, penalty and centroids, against NumPy and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Augmented
from softaug_jax.data.schedule import Schedule
from softaug_jax.models.duq import Outputs, log_kernel
from softaug_jax.tasks.duq_objective import (
    INITIAL_STD,
    Centroids,
    DuqObjective,
    binary_cross_entropy,
    two_sided_penalty,
)
from softaug_jax.tasks.protocol import Softened
from tests.train.helpers import config

SIGMA = 0.7


def objective_of(**fields):
    settings = dict(duq__embedding_dim=4, duq__length_scale=SIGMA, duq__momentum=0.9, batch_size=6) | fields
    return DuqObjective(config("digits_sa", "epochs=1,method=duq", **settings), 3, Schedule(60, 6, 1))


@pytest.fixture
def drawn(rng):
    """Embeddings [6, 3, 4], labels, and centroids of which some have been seen more."""
    embeddings, labels = rng.normal(size=(6, 3, 4)).astype(np.float32), np.array([0, 2, 1, 1, 0, 0])
    return embeddings, labels, Centroids(jnp.array([2.0, 1.0, 4.0]), jnp.float32(rng.normal(size=(3, 4))))


def kernels(embeddings, centroids):
    e = np.asarray(centroids.sums) / np.asarray(centroids.counts)[:, None]
    return np.exp(-((embeddings - e) ** 2).mean(-1) / (2 * SIGMA**2))


def test_weights_and_soft_targets_enter_the_cross_entropy_example_by_example(rng, drawn):
    embeddings, _, centroids = drawn
    targets, weights = rng.dirichlet(np.ones(3), 6), rng.uniform(size=6)
    k = kernels(embeddings, centroids)
    losses = -(targets * np.log(k) + (1 - targets) * np.log(1 - k)).mean(-1)
    softened = Softened(jnp.float32(targets), jnp.float32(weights), centroids)
    loss = objective_of(duq__gradient_penalty=0.0).loss(Outputs(jnp.asarray(embeddings), None), softened)
    np.testing.assert_allclose(loss, (weights * losses).mean(), rtol=1e-4)


def test_the_cross_entropy_is_finite_where_a_kernel_is_one_or_nothing():
    log_k = jnp.array([[0.0, -1e-9, -200.0]])
    value, gradient = jax.value_and_grad(lambda x: binary_cross_entropy(x, jnp.array([[0.5, 0.0, 0.5]])).sum())(log_k)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0, 2], -0.5 / 3, rtol=1e-6)  # still pulled, though K is 0 in float32


def test_the_penalty_equals_finite_differences_and_trains(rng, drawn):
    """The network is z = tanh(P x): its pullback is led through the kernels' sum, and differentiated by P."""
    _, _, centroids = drawn
    images = rng.normal(size=(6, 2, 2, 1)).astype(np.float32)
    weights = (0.5 * rng.normal(size=(4, 12))).astype(np.float32)
    objective = objective_of(duq__gradient_penalty=1.0)
    softened = Softened(jnp.full((6, 3), 1 / 3), jnp.zeros(6), centroids)  # no weight: the penalty alone is left

    def embed(weights, images):
        return jnp.tanh(images.reshape(6, 4) @ weights).reshape(6, 3, 4)

    def penalty(weights):
        embeddings, pullback = jax.vjp(lambda x: embed(weights, x), images)
        return objective.loss(Outputs(embeddings, pullback), softened)

    def by_hand(weights):
        total = lambda x: kernels(
            np.tanh(x.reshape(6, 4).astype(np.float64) @ weights).reshape(6, 3, 4), centroids
        ).sum(-1)
        slopes = []
        for index in range(4):
            step = np.zeros((6, 4))
            step[:, index] = 1e-5
            x = images.reshape(6, 4).astype(np.float64)
            slopes.append((total(x + step) - total(x - step)) / 2e-5)
        return ((np.sqrt(np.square(slopes).sum(0)) - 1) ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(penalty))(weights)
    np.testing.assert_allclose(value, by_hand(weights.astype(np.float64)), rtol=1e-4)
    for index in [(0, 0), (2, 7), (3, 11)]:
        step = np.zeros(weights.shape)
        step[index] = 1e-3
        finite = (by_hand(weights + step) - by_hand(weights - step)) / 2e-3
        np.testing.assert_allclose(gradient[index], finite, rtol=2e-2, atol=1e-4)


def test_an_image_that_changes_nothing_is_penalised_and_its_gradient_finite():
    value, gradient = jax.value_and_grad(lambda x: two_sided_penalty(x).sum())(jnp.zeros((1, 2, 2, 1)))
    np.testing.assert_allclose(value, 1.0, atol=1e-5)
    assert np.isfinite(gradient).all()


def test_centroids_are_moving_sums_by_class(drawn):
    embeddings, labels, centroids = drawn
    moved = jax.jit(objective_of().remember)(centroids, Outputs(jnp.asarray(embeddings), None), labels, jnp.int32(0))
    for c in range(3):
        own = embeddings[labels == c, c]
        np.testing.assert_allclose(moved.counts[c], 0.9 * centroids.counts[c] + 0.1 * len(own), rtol=1e-6)
        np.testing.assert_allclose(moved.sums[c], 0.9 * centroids.sums[c] + 0.1 * own.sum(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(moved.values[c], moved.sums[c] / moved.counts[c], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 1e-3])
def test_a_class_that_is_not_seen_for_long_keeps_its_centroid(drawn, momentum):
    embeddings, _, centroids = drawn
    moved, remember = centroids, jax.jit(objective_of(duq__momentum=momentum).remember)
    for _ in range(20):
        moved = remember(moved, Outputs(jnp.asarray(embeddings), None), np.array([0, 0, 1, 1, 0, 1]), jnp.int32(0))
    np.testing.assert_allclose(moved.values[2], centroids.values[2], rtol=1e-5)
    np.testing.assert_allclose(moved.values[0], embeddings[[0, 1, 4], 0].mean(0), rtol=1e-5)


def test_the_softmax_of_the_predictions_is_the_normalised_kernel(drawn):
    embeddings, labels, centroids = drawn
    objective, k = objective_of(), kernels(embeddings, centroids)
    probabilities = jax.nn.softmax(objective.logits(jnp.asarray(embeddings), centroids))
    np.testing.assert_allclose(probabilities, k / k.sum(-1, keepdims=True), rtol=1e-4)
    seen = Augmented(jnp.zeros((6, 2, 2, 1)), jnp.ones(6), None)
    measured = objective.measure(Outputs(jnp.asarray(embeddings), None), jnp.asarray(labels), seen, centroids)
    np.testing.assert_allclose(measured["top1_error"], np.mean(k.argmax(-1) != labels), rtol=1e-6)


def test_centroids_share_no_key_with_what_else_the_seed_draws():
    """The run's parameters and draws are of the two halves of the seed's key."""
    drawn = objective_of().initial_memory().values / INITIAL_STD
    for key in (jax.random.key(0), *jax.random.split(jax.random.key(0))):
        assert np.abs(drawn - jax.random.normal(key, drawn.shape)).max() > 0.1


def test_seeds_have_centroids_of_their_own():
    first, same, other = (objective_of(seed=seed).initial_memory() for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, same.values)
    assert np.abs(first.values - other.values).max() > 1e-3
    assert log_kernel(jnp.zeros((1, 3, 4)), first.values, SIGMA).shape == (1, 3)
