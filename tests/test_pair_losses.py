import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.pair_losses import barlow_twins_loss, simsiam_loss


def plain_simsiam(predictions, projections, weights):
    """The sum of the losses, pair by pair and view by view, in float64."""
    total = 0.0
    for p, z, w in zip(predictions, projections, weights, strict=True):
        for mine, other in ((0, 1), (1, 0)):
            total -= w / 2 * p[mine] @ z[other] / (np.linalg.norm(p[mine]) * np.linalg.norm(z[other]))
    return total


def plain_barlow_twins(projections, weights, redundancy, floor=1e-5):
    """From NumPy's weighted covariance of all 2 D dimensions, in float64."""
    size = projections.shape[-1]
    covariance = np.cov(projections.reshape(len(projections), -1).T, aweights=weights, ddof=0)
    deviation = np.sqrt(np.diag(covariance) + floor)
    correlation = (covariance / np.outer(deviation, deviation))[:size, size:]
    loss = 0.0
    for i in range(size):
        for j in range(size):
            loss += (1 - correlation[i, j]) ** 2 if i == j else redundancy * correlation[i, j] ** 2
    return loss


def differences(function, x, step=1e-5):
    """The gradient of a function of a float64 array, by central differences."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.fixture
def pairs(rng):
    """Predictions and projections [7, 2, 3], weights [7]."""
    return rng.normal(size=(7, 2, 3)), 3 * rng.normal(size=(7, 2, 3)) + 1, rng.uniform(0.1, 1, 7)


def as_jax(*arrays):
    return [jnp.asarray(x, jnp.float32) for x in arrays]


def test_simsiam_and_its_gradient_are_the_formulas(pairs):
    predictions, projections, weights = pairs
    loss = lambda p: simsiam_loss(p, *as_jax(projections, weights)).sum()
    value, gradient = jax.value_and_grad(loss)(*as_jax(predictions))
    np.testing.assert_allclose(value, plain_simsiam(*pairs), rtol=1e-5)
    expected = differences(lambda p: plain_simsiam(p, projections, weights), predictions)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_simsiam_has_a_loss_a_pair_with_any_leading_axes_and_weights_are_not_renormalised(pairs):
    predictions, projections, weights = pairs
    expected = [plain_simsiam(p[None], z[None], [1.0]) for p, z in zip(predictions[:6], projections[:6], strict=True)]
    losses = simsiam_loss(predictions[:6].reshape(3, 2, 2, 3), projections[:6].reshape(3, 2, 2, 3))
    np.testing.assert_allclose(losses, np.reshape(expected, (3, 2)), rtol=1e-5)
    weighted = simsiam_loss(predictions[:6], projections[:6], weights[:6])
    np.testing.assert_allclose(weighted, weights[:6] * expected, rtol=1e-5)


def test_simsiam_lies_between_agreement_and_opposition(pairs):
    z = pairs[1]
    np.testing.assert_allclose(simsiam_loss(4 * z[:, ::-1], z), -1, rtol=1e-6)
    np.testing.assert_allclose(simsiam_loss(-z[:, ::-1], z), 1, rtol=1e-6)


def test_the_gradient_stops_at_the_projections(pairs):
    gradient = jax.grad(lambda z: simsiam_loss(as_jax(pairs[0])[0], z).sum())(*as_jax(pairs[1]))
    np.testing.assert_array_equal(gradient, 0)


def test_a_shared_parameter_learns_through_the_predictions_alone(pairs, rng):
    """One matrix gives both projections and, times another, predictions."""
    x, shared, head = pairs[0], rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    ones = np.ones(7)

    def loss(shared):
        z = as_jax(x)[0] @ shared
        return simsiam_loss(z @ as_jax(head)[0], z).sum()

    gradient = jax.grad(loss)(*as_jax(shared))
    stopped = differences(lambda s: plain_simsiam(x @ s @ head, x @ shared, ones), shared)
    through = differences(lambda s: plain_simsiam(x @ s @ head, x @ s, ones), shared)
    np.testing.assert_allclose(gradient, stopped, rtol=1e-4, atol=1e-5)
    assert np.abs(through - stopped).max() > 0.1


def test_a_vector_without_direction_adds_nothing_and_gets_no_gradient(pairs):
    predictions, projections = as_jax(*pairs[:2])
    nothing = predictions.at[0, 0].set(0.0).at[1].set(0.0)
    total = lambda p, z: simsiam_loss(p, z).sum()
    losses, gradient = simsiam_loss(nothing, projections), jax.grad(total)(nothing, projections)
    assert losses[1] == 0
    np.testing.assert_array_equal(gradient[:2].any(-1), [[False, True], [False, False]])
    assert np.isfinite(gradient).all()
    assert np.isfinite(jax.grad(total)(predictions, projections.at[0].set(0.0))).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("redundancy", [0.0051, 0.5])
def test_barlow_twins_and_its_gradient_are_the_formulas(pairs, weighted, redundancy):
    projections, weights = pairs[1], pairs[2] if weighted else None
    loss = lambda z: barlow_twins_loss(z, weights, redundancy=redundancy)
    value, gradient = jax.value_and_grad(loss)(*as_jax(projections))
    plain = lambda z: plain_barlow_twins(z, weights, redundancy)
    assert value.shape == ()
    np.testing.assert_allclose(value, plain(projections), rtol=1e-5)
    np.testing.assert_allclose(gradient, differences(plain, projections), rtol=1e-3, atol=1e-5)


def test_barlow_twins_is_the_one_of_batch_norm_in_torch(pairs):
    """A product of batch-normalised views, as the paper's code has it."""
    torch = pytest.importorskip("torch")
    z = torch.tensor(pairs[1], dtype=torch.float32, requires_grad=True)
    norm = torch.nn.BatchNorm1d(3, affine=False)
    correlation = norm(z[:, 0]).T @ norm(z[:, 1]) / len(z)
    off = correlation - torch.diag(torch.diagonal(correlation))
    loss = (torch.diagonal(correlation) - 1).square().sum() + 0.0051 * off.square().sum()
    loss.backward()
    value, gradient = jax.value_and_grad(barlow_twins_loss)(*as_jax(pairs[1]))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, z.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_a_weight_is_how_often_the_example_counts(pairs):
    counts = np.array([2, 1, 0, 3, 1, 1, 1])
    repeated = barlow_twins_loss(np.repeat(pairs[1], counts, 0))
    np.testing.assert_allclose(barlow_twins_loss(pairs[1], counts), repeated, rtol=1e-5)
    assert abs(repeated - barlow_twins_loss(pairs[1])) > 0.01


@pytest.mark.parametrize("scale", [1e-3, 7.0])
def test_only_the_weights_ratios_count(pairs, scale):
    _, z, weights = pairs
    np.testing.assert_allclose(barlow_twins_loss(z, scale * weights), barlow_twins_loss(z, weights), rtol=1e-5)
    np.testing.assert_allclose(barlow_twins_loss(z, np.full(7, scale)), barlow_twins_loss(z), rtol=1e-5)


def test_constant_dimensions_and_weights_of_zero_have_finite_gradients(pairs):
    z = as_jax(pairs[1])[0].at[:, :, 1].set(300.7)
    value, gradient = jax.value_and_grad(barlow_twins_loss)(z)
    # A constant dimension correlates with nothing: its diagonal element costs 1, and the others' loss is as without it.
    np.testing.assert_allclose(value, 1 + barlow_twins_loss(z[:, :, ::2]), rtol=1e-4)
    assert np.isfinite(gradient).all()
    value, gradients = jax.value_and_grad(barlow_twins_loss, argnums=(0, 1))(z, jnp.zeros(7))
    assert value == 3
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_half_precision_is_computed_in_float32(pairs):
    p, z = (x.astype(jnp.bfloat16) for x in as_jax(*pairs[:2]))
    for run, arguments in ((simsiam_loss, (p, z)), (barlow_twins_loss, (z,))):
        half = run(*arguments)
        assert half.dtype == jnp.float32
        np.testing.assert_array_equal(half, run(*(x.astype(jnp.float32) for x in arguments)))


def test_nan_is_not_hidden(pairs):
    p, z, w = as_jax(*pairs)
    assert jnp.isnan(simsiam_loss(p.at[0, 0, 0].set(jnp.nan), z)[0])
    assert jnp.isnan(simsiam_loss(p, z.at[0, 0, 0].set(jnp.nan))[0])
    assert jnp.isnan(barlow_twins_loss(z.at[0, 0, 0].set(jnp.nan)))
    assert jnp.isnan(barlow_twins_loss(z, w.at[0].set(jnp.nan)))


def test_jit_and_vmap_equal_eager(pairs):
    np.testing.assert_allclose(jax.jit(simsiam_loss)(*pairs), simsiam_loss(*pairs), rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(simsiam_loss)(*pairs), simsiam_loss(*pairs), rtol=1e-5)
    several = np.stack([pairs[0], pairs[1]])
    expected = [barlow_twins_loss(z, pairs[2]) for z in several]
    np.testing.assert_allclose(jax.jit(jax.vmap(barlow_twins_loss, (0, None)))(several, pairs[2]), expected, rtol=1e-5)


Z = np.ones((4, 2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simsiam_loss(Z, Z[:3]), "predictions have shape (4, 2, 3), projections (3, 2, 3): they must be equal"),
        (lambda: simsiam_loss(Z[:, :1], Z[:, :1]), "they must be equal, [..., 2, D]."),
        (lambda: simsiam_loss(Z[0, 0], Z[0, 0]), "they must be equal, [..., 2, D]."),
        (lambda: simsiam_loss(Z, Z, np.ones((4, 1))), "weights have shape (4, 1); they must be (4,), one a pair."),
        (lambda: barlow_twins_loss(Z[0]), "projections have shape (2, 3); they must be [B, 2, D]."),
        (lambda: barlow_twins_loss(Z[:, :1]), "projections have shape (4, 1, 3); they must be [B, 2, D]."),
        (lambda: barlow_twins_loss(Z, np.ones((4, 1))), "weights have shape (4, 1); they must be (4,), one a pair."),
        (lambda: barlow_twins_loss(Z, redundancy=-0.1), "redundancy = -0.1 must be at least 0."),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
