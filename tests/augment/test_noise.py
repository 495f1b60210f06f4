import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import AdditiveNoise, HardCrop, NoisyFill, SoftCrop

SIZE = (6, 9)


def drawn(count, sigma=0.5):
    return AdditiveNoise(sigma).sample(jax.random.key(0), count, SIZE)


def test_the_share_is_a_clipped_half_normals():
    share = np.asarray(drawn(20_000)["share"])
    assert share.min() >= 0 and share.max() == 0.5
    np.testing.assert_allclose((share == 0.5).mean(), 0.3173, atol=0.015)  # P(|n| > 1)
    np.testing.assert_allclose((share < 0.25).mean(), 0.3829, atol=0.015)  # P(|n| < 1/2)


def test_the_image_gives_way_to_normal_noise_and_visibility_says_how_much():
    draws = drawn(400)
    images = jnp.linspace(-2.0, 2.0, 400 * 6 * 9 * 3).reshape(400, *SIZE, 3)
    out, visibility = AdditiveNoise().apply(images, draws)
    share = np.asarray(draws["share"])
    np.testing.assert_allclose(visibility, 1.0 - share)
    noise = (np.asarray(out) - (1 - share)[:, None, None, None] * np.asarray(images)) / share[:, None, None, None]
    noise = noise[share > 0.05]  # where dividing by the share is not all rounding
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.02)
    flat = noise.reshape(len(noise), -1)
    assert abs(np.corrcoef(flat[:20])[~np.eye(20, dtype=bool)]).max() < 0.35  # each image has its own


def test_zero_draws_change_nothing_and_jit_equals_eager():
    images = jax.random.normal(jax.random.key(1), (4, *SIZE, 2))
    out, visibility = AdditiveNoise().apply(images, jax.tree.map(jnp.zeros_like, drawn(4)))
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, 1.0)
    for eager, jitted in zip(
        AdditiveNoise().apply(images, drawn(4)), jax.jit(AdditiveNoise().apply)(images, drawn(4)), strict=True
    ):
        np.testing.assert_allclose(eager, jitted, atol=1e-6)


@pytest.mark.parametrize(
    ("sigma", "words"), [(0.0, "sigma = 0.0 must be greater"), (1.5, "sigma = 1.5 must be at most 1")]
)
def test_mistakes_are_named(sigma, words):
    with pytest.raises(ValueError, match=words):
        drawn(2, sigma)


@pytest.mark.parametrize("crop", [SoftCrop(fill=(-1.0,)), HardCrop(3, fill=(0.5, -1.0))])
def test_a_noisy_fill_is_noise_where_the_crop_shows_its_fill_and_nowhere_else(crop):
    noisy = NoisyFill(crop, 0.1)
    draws = noisy.sample(jax.random.key(3), 500, SIZE)
    its_own = crop.sample(jax.random.split(jax.random.key(3))[0], 500, SIZE)
    np.testing.assert_array_equal(draws["offset"], its_own)
    images = 10.0 + jax.random.uniform(jax.random.key(1), (500, *SIZE, 2))
    out, visibility = jax.jit(noisy.apply)(images, draws)
    plain, expected = crop.apply(images, draws["offset"])
    np.testing.assert_array_equal(visibility, expected)
    inside = np.asarray(plain) >= 10
    np.testing.assert_array_equal(np.asarray(out)[inside], np.asarray(plain)[inside])
    noise = (np.asarray(out) - np.asarray(plain))[~inside]
    assert noise.size > 5000
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.1], atol=0.005)


def test_a_noisy_fill_that_is_switched_off_changes_nothing():
    noisy = NoisyFill(SoftCrop())
    images = jax.random.normal(jax.random.key(1), (4, *SIZE, 2))
    out, visibility = noisy.apply(images, jax.tree.map(jnp.zeros_like, noisy.sample(jax.random.key(0), 4, SIZE)))
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, 1.0)
