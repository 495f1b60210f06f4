import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softaug_jax.losses import focal_loss, soft_cross_entropy, soft_focal_loss


def log_softmax(z):
    """In float64."""
    z = np.asarray(z, float)
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.fixture
def example(rng):
    """Logits [6, 5], soft targets [6, 5], weights [6], labels [6]."""
    return rng.normal(size=(6, 5)) * 3, rng.dirichlet(np.ones(5), 6), rng.uniform(size=6), rng.integers(0, 5, 6)


def test_soft_cross_entropy_is_its_formula_and_optaxs(example):
    logits, targets, weights, _ = example
    expected = -(targets * log_softmax(logits)).sum(-1)
    np.testing.assert_allclose(soft_cross_entropy(logits, targets), expected, rtol=1e-5)
    np.testing.assert_allclose(soft_cross_entropy(logits, targets, weights), weights * expected, rtol=1e-5)
    theirs = optax.softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(targets))
    np.testing.assert_allclose(soft_cross_entropy(logits, targets), theirs, rtol=1e-6)


def test_weights_are_per_example_and_not_renormalised():
    # A uniform guess costs log 4 an example; the authors' code would give mean(weight) * mean(loss), a matrix before.
    losses = soft_cross_entropy(jnp.zeros((2, 4)), jnp.eye(4)[:2], jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(losses, [np.log(4), np.log(4) / 2], rtol=1e-6)


def test_gradient_is_the_kl_divergences(example):
    logits, targets, weights, _ = example
    gradient = jax.grad(lambda z: soft_cross_entropy(z, targets, weights).sum())(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(gradient, weights[:, None] * (np.exp(log_softmax(logits)) - targets), atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_gradient_by_the_target_is_the_class_loss_also_where_the_target_is_zero(gamma):
    logits, targets = jnp.array([[2.0, 0.0, -1.0]]), jnp.array([[1.0, 0.0, 0.0]])
    gradient = jax.grad(lambda t: soft_focal_loss(logits, t, gamma).sum())(targets)
    of_each_class = [focal_loss(logits, jnp.array([c]), gamma)[0] for c in range(3)]
    np.testing.assert_allclose(gradient[0], of_each_class, rtol=1e-6)


def test_a_class_ruled_out_costs_nothing_where_the_target_is_zero():
    logits, targets = jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([0.5, 0.5, 0.0])
    value, gradient = jax.value_and_grad(soft_cross_entropy)(logits, targets)
    np.testing.assert_allclose(value, -log_softmax([0.0, 1.0]).mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, [*(np.exp(log_softmax([0.0, 1.0])) - 0.5), 0], atol=1e-6)


def test_a_class_ruled_out_costs_everything_where_the_target_is_not_zero():
    assert soft_cross_entropy(jnp.array([0.0, -jnp.inf]), jnp.array([0.5, 0.5])) == jnp.inf


def test_huge_logits_do_not_overflow():
    np.testing.assert_allclose(soft_cross_entropy(jnp.array([1e4, 0.0]), jnp.array([0.0, 1.0])), 1e4)


@pytest.mark.parametrize("where", ["logits", "targets", "weights"])
def test_nan_is_not_hidden(where):
    arguments = dict(logits=jnp.zeros((1, 2)), targets=jnp.array([[1.0, 0.0]]), weights=jnp.ones(1))
    arguments[where] = jnp.full_like(arguments[where], jnp.nan)
    assert jnp.isnan(soft_cross_entropy(**arguments)).all()


@pytest.mark.parametrize("loss", ["soft_cross_entropy", "focal_loss"])
def test_half_precision_logits_are_computed_in_float32(loss):
    logits = jnp.array([[3.0, -1.0, 0.5]])
    call = {
        "soft_cross_entropy": lambda z: soft_cross_entropy(z, jnp.eye(3)[:1]),
        "focal_loss": lambda z: focal_loss(z, jnp.array([0]), 2.0),
    }[loss]
    assert call(logits.astype(jnp.bfloat16)).dtype == jnp.float32
    np.testing.assert_array_equal(call(logits.astype(jnp.bfloat16)), call(logits))  # these values are exact in bfloat16


@pytest.mark.parametrize("gamma", [0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_its_formula(example, gamma):
    logits, _, _, labels = example
    log_p = log_softmax(logits)[np.arange(6), labels]
    np.testing.assert_allclose(focal_loss(logits, labels, gamma), -((1 - np.exp(log_p)) ** gamma) * log_p, rtol=1e-4)


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=6), st.data())
def test_focal_loss_with_gamma_zero_is_the_cross_entropy(logits, data):
    label = data.draw(st.integers(0, len(logits) - 1))
    logits = np.float32(logits)
    expected = soft_cross_entropy(logits, np.eye(len(logits), dtype=np.float32)[label])
    for gamma in (0, 0.0, jnp.float32(0.0)):
        np.testing.assert_allclose(focal_loss(logits, label, gamma), expected, rtol=1e-6, atol=1e-12)


def test_focal_losses_may_have_one_gamma_an_example(example):
    logits, targets, _, labels = example
    gammas = np.linspace(0.5, 3, 6).astype(np.float32)
    expected = [focal_loss(z, y, float(gamma)) for z, y, gamma in zip(logits, labels, gammas, strict=True)]
    np.testing.assert_allclose(focal_loss(logits, labels, gammas), expected, rtol=1e-5)
    expected = [soft_focal_loss(z, t, float(gamma)) for z, t, gamma in zip(logits, targets, gammas, strict=True)]
    np.testing.assert_allclose(soft_focal_loss(logits, targets, gammas), expected, rtol=1e-5)
    square = np.array([[1.0, 2.0], [1.0, 2.0]])  # as many examples as classes
    np.testing.assert_array_equal(
        soft_focal_loss(square, np.eye(2)[[0, 0]], np.array([0.0, 4.0])),
        focal_loss(square, np.zeros(2, int), np.array([0.0, 4.0])),
    )


@pytest.mark.parametrize("gamma", [0, 0.5, 2.0])
def test_a_class_ruled_out_has_the_gradient_of_the_others_alone(gamma):
    loss = lambda z: soft_focal_loss(z, jnp.eye(3)[0, : len(z)], gamma)
    without = jax.grad(loss)(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(jax.grad(loss)(jnp.array([0.0, 1.0, -jnp.inf])), [*without, 0], rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 5])
@pytest.mark.parametrize("gamma", [0, 2.0])
def test_a_label_that_is_no_class_has_no_loss_and_no_gradient(example, label, gamma):
    loss, gradient = jax.value_and_grad(lambda z: focal_loss(z, label, gamma))(jnp.float32(example[0][0]))
    assert loss == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("gamma", [0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("traced", [False, True])
def test_focal_gradients_are_finite_at_certainty(gamma, traced):
    # p = 1 to the last bit, p tiny, and one class ruled out.
    logits = jnp.array([[200.0, 0.0, 0.0], [-80.0, 0.0, 0.0], [0.0, 1.0, -jnp.inf]])
    labels = jnp.zeros(3, int)
    total = lambda z, g: focal_loss(z, labels, g).sum()
    if traced:
        gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(logits, float(gamma))
    else:
        gradients = (jax.grad(total)(logits, gamma),)
    assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_array_equal(gradients[0][0], 0)
    assert gradients[0][1, 0] < 0  # a wrong answer is pushed up


def test_jit_and_vmap_equal_eager(example):
    logits, targets, weights, labels = example
    for run, arguments in (
        (soft_cross_entropy, (logits, targets, weights)),
        (lambda z, y: focal_loss(z, y, 1.5), (logits, labels)),
    ):
        for transformed in (jax.jit(run), jax.vmap(run)):
            np.testing.assert_allclose(transformed(*arguments), run(*arguments), rtol=1e-5)


Z, T = np.zeros((3, 4)), np.full((3, 4), 0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: soft_cross_entropy(Z, T[:2]), "logits have shape (3, 4), targets (2, 4): they must be equal"),
        (lambda: soft_cross_entropy(Z, T[0]), "logits have shape (3, 4), targets (4,)"),
        (lambda: soft_cross_entropy(Z, T, np.ones((3, 1))), "weights have shape (3, 1); they must be (3,), one an exa"),
        (lambda: soft_cross_entropy(Z, T, 1.0), "weights have shape (); they must be (3,)"),
        (lambda: focal_loss(Z, np.zeros(3, int), -1.0), "gamma = -1.0 must be at least 0."),
        (lambda: focal_loss(Z, np.zeros((3, 1), int), 1.0), "logits have shape (3, 4), labels (3, 1)"),
        (lambda: focal_loss(Z, np.zeros(3), 1.0), "labels have dtype float32; they must be integers"),
        (lambda: soft_focal_loss(Z, T, np.ones(4)), "gamma has shape (4,); it must be a scalar or (3,), one an exa"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
