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


@pytest.mark.parametrize(("mean", "std", "channels"), [(MEAN, STD, 1), (MEAN[:2], STD[:2], 3), (MEAN, STD[:1], 3)])
def test_means_that_do_not_fit_the_channels_are_refused(mean, std, channels):
    with pytest.raises(
        ValueError, match=rf"lengths \({len(mean)}, {len(std)}\); images of {channels} channels take 1 or"
    ):
        Normalize(mean, std).apply(jnp.zeros((2, 4, 4, channels), jnp.uint8))


def test_one_mean_is_for_all_channels():
    images = jnp.arange(6.0).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(
        Normalize((0.5,), (0.2,)).apply(images)[0], Normalize((0.5,) * 3, (0.2,) * 3).apply(images)[0]
    )
