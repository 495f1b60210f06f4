import jax
import numpy as np
import pytest

from softaug_jax.augment import Flip


def test_flips_the_images_drawn_and_no_others(rng):
    images = rng.integers(0, 256, (4, 3, 5, 2)).astype(np.uint8)
    draws = np.array([True, False, False, True])
    out, visibility = jax.jit(Flip().apply)(images, draws)
    expected = np.stack([np.fliplr(image) if flip else image for image, flip in zip(images, draws, strict=True)])
    np.testing.assert_array_equal(out, expected)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(visibility, np.ones(4))


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_flips_a_share_of_the_images(probability):
    draws = np.asarray(Flip(probability).sample(jax.random.key(0), 10_000, (8, 8)))
    assert draws.shape == (10_000,)
    assert draws.dtype == bool
    np.testing.assert_allclose(draws.mean(), probability, atol=4 * np.sqrt(probability * (1 - probability) / 10_000))
