import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.models.stochastic import drop, linear_decay, scale_apart, shake_drop, subkey


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(6, 2, 2, 3)), jnp.float32)


def ratios(y, x):
    """What each image is multiplied by, [B]; the same for all its elements."""
    ratio = np.asarray(y) / np.asarray(x)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], ratio.shape), rtol=1e-5)
    return ratio[:, 0, 0, 0]


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_value_and_gradient_are_the_papers(x, rng, gate):
    alpha, beta = rng.uniform(-1, 1, (6, 1, 1, 1)), rng.uniform(0, 1, (6, 1, 1, 1))
    forward = (gate + alpha - gate * alpha).astype(np.float32)
    backward = (gate + beta - gate * beta).astype(np.float32)
    gradient = rng.normal(size=x.shape).astype(np.float32)
    y, pull = jax.vjp(scale_apart, x, jnp.asarray(forward), jnp.asarray(backward))
    np.testing.assert_allclose(y, np.asarray(x) * forward, rtol=1e-6)
    to_x, to_forward, to_backward = pull(jnp.asarray(gradient))
    np.testing.assert_allclose(to_x, gradient * backward, rtol=1e-6)
    assert not to_forward.any()
    assert not to_backward.any()


def test_an_open_gate_passes_value_and_gradient(x):
    y, pull = jax.vjp(lambda x: shake_drop(x, 1.0, jax.random.key(0)), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(pull(x)[0], x)


def test_a_closed_gate_scales_each_image_by_alpha_and_its_gradient_by_beta(rng):
    x = jnp.asarray(rng.normal(size=(2000, 1, 1, 2)), jnp.float32)
    y, pull = jax.vjp(lambda x: shake_drop(x, 0.0, jax.random.key(0)), x)
    alpha, beta = ratios(y, x), ratios(pull(x)[0], x)
    for drawn, low, high in ((alpha, -1.0, 1.0), (beta, 0.0, 1.0)):
        assert ((drawn >= low - 1e-6) & (drawn <= high + 1e-6)).all()
        # The mean and the spread of a uniform distribution, to five standard errors of 2,000 draws.
        width = high - low
        np.testing.assert_allclose(drawn.mean(), (low + high) / 2, atol=5 * width / np.sqrt(12 * 2000))
        np.testing.assert_allclose(drawn.std(), width / np.sqrt(12), rtol=0.06)
    assert abs(np.corrcoef(alpha, beta)[0, 1]) < 0.12


def test_the_gate_is_one_for_the_batch_and_the_expectation_is_what_evaluation_does(x):
    keys = jax.random.split(jax.random.key(0), 2000)
    y = np.asarray(jax.vmap(lambda key: shake_drop(x, 0.7, key))(keys))
    passed = (y == np.asarray(x)).reshape(2000, 6, -1).all(-1)
    assert set(passed.sum(1)) == {0, 6}
    np.testing.assert_allclose(passed[:, 0].mean(), 0.7, atol=5 * np.sqrt(0.7 * 0.3 / 2000))
    np.testing.assert_allclose(ratios(y.mean(0, dtype=np.float64), x), 0.7, atol=0.06)
    np.testing.assert_allclose(shake_drop(x, 0.7, None), 0.7 * np.asarray(x), rtol=1e-6)


def test_decay_is_linear():
    expected = [0.875, 0.75, 0.625, 0.5]
    np.testing.assert_allclose([linear_decay(i, 4, 0.5) for i in range(4)], expected)


@pytest.mark.parametrize("whole_images", [False, True])
def test_dropping_keeps_the_expectation(x, whole_images):
    keys = jax.random.split(jax.random.key(0), 4000)
    y = np.asarray(jax.vmap(lambda key: drop(x, 0.2, key, whole_images=whole_images))(keys))
    ratio = y / np.asarray(x)
    zero, kept = np.isclose(ratio, 0), np.isclose(ratio, 1.25)
    assert (zero | kept).all()
    np.testing.assert_allclose(ratio.mean(0), 1.0, atol=5 * 0.5 / np.sqrt(4000))
    images = kept.reshape(4000, 6, -1)
    assert (images.all(-1) | ~images.any(-1)).all() == whole_images
    assert len(set(map(tuple, images[:, :, 0].astype(int)))) > 30  # images are dropped independently


def test_nothing_is_dropped_in_evaluation_or_at_rate_0(x):
    assert drop(x, 0.5, None) is x
    assert drop(x, 0.0, jax.random.key(0)) is x


@pytest.mark.parametrize("function", [lambda x, key: drop(x, 0.2, key), lambda x, key: shake_drop(x, 0.5, key)])
@pytest.mark.parametrize("seed", [None, 0])
def test_the_dtype_stays(function, seed):
    key = None if seed is None else jax.random.key(seed)
    y, pull = jax.vjp(lambda x: function(x, key), jnp.ones((2, 1, 1, 3), jnp.bfloat16))
    assert y.dtype == pull(y)[0].dtype == jnp.bfloat16


def test_layers_have_keys_of_their_own():
    key = jax.random.key(0)
    assert subkey(None, 3) is None
    data = [tuple(jax.random.key_data(subkey(key, i)).tolist()) for i in range(4)]
    assert len(set(data)) == 4
