import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from softaug_jax.augment import lookup, words
from softaug_jax.augment.magnitudes import OPERATIONS, trivialaugment_space
from softaug_jax.augment.policy import PolicyDraws, apply_policy


@pytest.fixture(scope="module")
def operate():
    """Applies one look-up operation to all images."""
    apply = jax.jit(lambda images, draws: apply_policy(images, draws, trivialaugment_space(31))[0])

    def run(name, images):
        slots = jnp.zeros((len(images), 1), jnp.int32)
        return np.asarray(apply(images, PolicyDraws(slots + OPERATIONS.index(name), slots, slots)))

    return run


@pytest.mark.parametrize("count", [lookup.count_darker, lookup.darker_by_scatter, lookup.darker_by_products])
def test_pixels_below_every_level_are_counted(count, rng):
    planes = rng.integers(0, 256, (2, 3, 500))  # two channels of three images
    expected = (planes[..., None] < np.arange(256)).sum(axis=2)
    np.testing.assert_array_equal(count(words.pack(jnp.asarray(planes)), channels=2), expected)


def test_no_scatter_where_it_is_slow():
    lowered = jax.jit(lookup.count_darker, static_argnums=1).trace(jnp.zeros((2, 64), jnp.int32), 3)
    text = {name: lowered.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "tpu", "cuda")}
    assert {name: ("scatter" in text[name], "dot_general" in text[name]) for name in text} == {
        "cpu": (True, False),
        "tpu": (False, True),
        "cuda": (False, True),
    }


def test_autocontrast_is_pillows_for_every_pair_of_extremes(operate):
    lowest, highest = np.triu_indices(256, 1)
    channels = np.clip(np.arange(256), lowest[:, None], highest[:, None]).astype(np.uint8)
    images = channels.reshape(-1, 3, 16, 16).transpose(0, 2, 3, 1)
    expected = [np.asarray(ImageOps.autocontrast(Image.fromarray(image))) for image in images]
    np.testing.assert_array_equal(operate("AutoContrast", images), expected)


def test_equalize_is_pillows_at_the_edges(operate, rng):
    images = rng.integers(0, 256, (64, 20, 30, 3)).astype(np.uint8)
    images[0] = 77  # one level
    images[1, ..., 1] = np.where(images[1, ..., 1] < 99, 3, 200)  # two in one channel
    images[2] = np.minimum(images[2], 4)  # a handful, most at the highest
    images[3] = 255 - np.minimum(images[3], 4)
    images[4:16] = (images[4:16].astype(float) ** 3 / 255**2).astype(np.uint8)  # dark
    ours = operate("Equalize", images)
    for image, result in zip(images, ours, strict=True):
        np.testing.assert_array_equal(result, ImageOps.equalize(Image.fromarray(image)))


def test_too_few_pixels_to_spread_stay_as_they_are(operate, rng):
    images = rng.integers(0, 256, (8, 10, 10, 1)).astype(np.uint8)
    np.testing.assert_array_equal(operate("Equalize", images), images)
