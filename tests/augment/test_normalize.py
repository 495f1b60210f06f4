import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Normalize

MEAN, STD = (0.2, 0.5, 0.7), (0.1, 0.25, 0.3)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_is_zero_mean_and_unit_variance_per_channel(dtype, rng):
    images = rng.integers(0, 256, (4, 5, 6, 3)).astype(dtype)
    out, visibility = jax.jit(Normalize(MEAN, STD).apply)(images)
    expected = (images.astype(float) / 255 - np.array(MEAN)) / np.array(STD)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(visibility, np.ones(4))


def test_the_mean_colour_becomes_zero():
    out, _ = Normalize(MEAN, STD).apply(255 * jnp.asarray(MEAN).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(out, 0, atol=1e-6)


def test_draws_nothing():
    assert Normalize(MEAN, STD).sample(jax.random.key(0), 4, (5, 6)) is None
