"""Colours change as NumPy, the standard library's colorsys and torchvision change them."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import ColorJitter, Grayscale
from softaug_jax.augment.jitter import OPERATIONS, JitterDraws, rotate_hue

SIZE = (6, 5)


def images_like_photographs(rng, count):
    """Random colours, among them greys, black, white and pure ones, where hue and saturation have their edges."""
    images = rng.integers(0, 256, (count, *SIZE, 3)).astype(np.float32)
    images[:, 0] = images[:, 0, :, :1]
    images[:, 1] = 255 * rng.integers(0, 2, (count, SIZE[1], 3))
    images[:, 2, :, 1] = images[:, 2, :, 0]
    return images


def luma(image):
    return (image * [0.2989, 0.587, 0.114]).sum(-1, keepdims=True)


def by_hand(image, draws, number):
    """One image [H, W, C] through its operations, in float64."""
    image = image.astype(np.float64)
    for operation in draws.order[number]:
        name = OPERATIONS[operation]
        factor = 1.0 + float(getattr(draws, name)[number])
        one_channel = image.shape[-1] == 1
        if name == "brightness":
            image = factor * image
        elif name == "contrast":
            image = factor * image + (1 - factor) * (image if one_channel else luma(image)).mean()
        elif name == "saturation":
            image = image if one_channel else factor * image + (1 - factor) * luma(image)
        elif not one_channel:
            image = turned_by_colorsys(image, float(draws.hue[number]))
        image = np.clip(image, 0, 255)
    return image


def turned_by_colorsys(image, turns):
    def turn(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((hue + turns) % 1.0, saturation, value)

    return 255 * np.apply_along_axis(turn, -1, image / 255)


def torch_order(image, draws, number):
    """The same by torchvision, on a float tensor in [0, 1]."""
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    image = torch.from_numpy(image.transpose(2, 0, 1).copy()) / 255
    for operation in draws.order[number]:
        name = OPERATIONS[operation]
        strength = float(getattr(draws, name)[number])
        image = getattr(functional, f"adjust_{name}")(image, strength if name == "hue" else 1 + strength)
    return 255 * image.numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("reference", [by_hand, torch_order])
@pytest.mark.parametrize("jitter", [ColorJitter(probability=1.0), ColorJitter(1.5, 2.0, 1.5, 0.5, probability=0.9)])
def test_jitter_is_the_operations_one_after_the_other(jitter, reference, channels, rng):
    images = images_like_photographs(rng, 60)[..., :channels]
    draws = jitter.sample(jax.random.key(0), 60, SIZE)
    out, visibility = jax.jit(jitter.apply)(images, draws)
    np.testing.assert_array_equal(visibility, np.ones(60))
    assert out.dtype == jnp.float32
    draws = jax.tree.map(np.asarray, draws)
    expected = np.stack([reference(image, draws, number) for number, image in enumerate(images)])
    np.testing.assert_allclose(out, expected, atol=5e-3)
    assert np.abs(expected - images).max() > 20


def test_every_order_counts(rng):
    (image,) = images_like_photographs(rng, 1)
    orders = np.array(list(itertools.permutations(range(4))), np.int32)
    strengths = [np.full(24, strength, np.float32) for strength in (0.4, -0.4, 0.3, 0.1)]
    draws = JitterDraws(*strengths, order=orders)
    out, _ = ColorJitter().apply(jnp.asarray(np.stack([image] * 24)), jax.tree.map(jnp.asarray, draws))
    np.testing.assert_allclose(out, np.stack([by_hand(image, draws, n) for n in range(24)]), atol=5e-3)
    assert len(np.unique(np.round(out, 1), axis=0)) > 12


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_draws_of_zero_change_nothing(dtype, channels, rng):
    images = jnp.asarray(images_like_photographs(rng, 9)[..., :channels].astype(dtype))
    zeros = jax.tree.map(jnp.zeros_like, ColorJitter().sample(jax.random.key(0), 9, SIZE))
    for transform, draws in ((ColorJitter(), zeros), (Grayscale(), jnp.zeros(9, bool))):
        out, _ = jax.jit(transform.apply)(images, draws)
        np.testing.assert_array_equal(out, images)


def test_jitter_s_draws():
    count = 40_000
    jitter = ColorJitter(0.4, 0.3, 1.7, 0.1)
    draws = jax.tree.map(np.asarray, jitter.sample(jax.random.key(3), count, SIZE))
    some = draws.hue != 0
    assert abs(some.mean() - 0.8) < 5 * np.sqrt(0.8 * 0.2 / count)
    ranges = {"brightness": (-0.4, 0.4), "contrast": (-0.3, 0.3), "saturation": (-1, 1.7), "hue": (-0.1, 0.1)}
    for name, (low, high) in ranges.items():
        strength = getattr(draws, name)
        assert (strength[~some] == 0).all() and (strength >= low).all() and (strength <= high).all()
        deciles = np.quantile(strength[some], np.linspace(0.1, 0.9, 9))
        np.testing.assert_allclose(deciles, np.linspace(low, high, 11)[1:-1], atol=0.015 * (high - low))
    strengths = np.stack([getattr(draws, name)[some] for name in ranges])
    assert np.abs(np.corrcoef(strengths) - np.eye(4)).max() < 5 / np.sqrt(some.sum())
    assert (draws.order[~some] == 0).all()
    orders, counts = np.unique(draws.order[some], axis=0, return_counts=True)
    assert len(orders) == 24  # each of them a permutation, and all as frequent
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    assert np.abs(counts / some.sum() * 24 - 1).max() < 5 * np.sqrt(24 / some.sum())


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_grayscale(probability, rng):
    images = images_like_photographs(rng, 2000)
    transform = Grayscale(probability)
    draws = np.asarray(transform.sample(jax.random.key(1), 2000, SIZE))
    assert draws.dtype == bool
    assert abs(draws.mean() - probability) <= 5 * np.sqrt(probability * (1 - probability) / 2000)
    out, visibility = transform.apply(jnp.asarray(images), jnp.asarray(draws))
    np.testing.assert_array_equal(visibility, np.ones(2000))
    np.testing.assert_array_equal(out[~draws], images[~draws])
    np.testing.assert_allclose(out[draws], np.repeat(luma(images[draws]), 3, axis=-1), atol=1e-3)


def test_grayscale_leaves_one_channel_as_it_is(rng):
    images = jnp.asarray(images_like_photographs(rng, 4)[..., :1].astype(np.uint8))
    np.testing.assert_array_equal(Grayscale().apply(images, jnp.ones(4, bool))[0], images)


def test_turning_the_hue_by_thirds_moves_the_channels_on(rng):
    images = jnp.asarray(images_like_photographs(rng, 3))
    third = jnp.full(3, 1 / 3)
    np.testing.assert_allclose(rotate_hue(images, third), images[..., jnp.array([2, 0, 1])], atol=1e-3)
    np.testing.assert_allclose(rotate_hue(images, -third), images[..., jnp.array([1, 2, 0])], atol=1e-3)
    np.testing.assert_allclose(rotate_hue(images, 3 * third), images, atol=1e-3)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (ColorJitter(brightness=-0.1), "brightness = -0.1 must be at least 0"),
        (ColorJitter(hue=0.6), "hue = 0.6 must be at most 0.5"),
        (ColorJitter(probability=1.1), "probability = 1.1 must be at most 1"),
        (Grayscale(-1.0), "probability = -1.0 must be at least 0"),
    ],
)
def test_wrong_settings(transform, message):
    with pytest.raises(ValueError, match=message):
        transform.sample(jax.random.key(0), 2, SIZE)


@pytest.mark.parametrize("shape", [(2, 4, 4, 4), (4, 4, 3)])
def test_wrong_images(shape):
    images = jnp.zeros(shape)
    with pytest.raises(ValueError, match="colours change in"):
        Grayscale().apply(images, jnp.zeros(2, bool))
