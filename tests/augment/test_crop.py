import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from softaug_jax import crops
from softaug_jax.augment import HardCrop, SoftCrop

IMAGE = np.arange(12).reshape(1, 3, 4, 1)


@pytest.mark.parametrize("crop", [SoftCrop(fill=(-1.0,)), HardCrop(fill=(-1.0,))])
def test_shifts_by_hand_and_says_what_is_left_only_if_soft(crop):
    out, visibility = jax.jit(crop.apply)(IMAGE, jnp.array([[1, -2]]))
    np.testing.assert_array_equal(out[0, ..., 0], [[-1, -1, 4, 5], [-1, -1, 8, 9], [-1, -1, -1, -1]])
    expected = 2 * 2 / 12 if isinstance(crop, SoftCrop) else 1.0
    np.testing.assert_allclose(visibility, [expected], rtol=1e-6)


@pytest.mark.parametrize("crop", [SoftCrop, HardCrop])
def test_fill_is_one_value_or_one_a_channel(crop):
    images, draws = jnp.zeros((2, 3, 3, 3)), jnp.array([[3, 0], [0, 0]])
    out, _ = crop(fill=(0.1, 0.2, 0.3)).apply(images, draws)
    np.testing.assert_allclose(out[0], np.broadcast_to(np.float32([0.1, 0.2, 0.3]), (3, 3, 3)))
    np.testing.assert_array_equal(out[1], 0)
    np.testing.assert_allclose(crop(fill=(0.5,)).apply(images, draws)[0][0], 0.5)
    with pytest.raises(ValueError, match=r"fill has shape \(2,\)"):
        crop(fill=(0.1, 0.2)).apply(images, draws)


@pytest.mark.parametrize("fill", [(0.4,), (0.0, 0.0, 0.4)])
def test_bytes_are_not_filled_with_fractions(fill):
    with pytest.raises(ValueError, match="fill = "):
        HardCrop(fill=fill).apply(jnp.zeros((1, 3, 3, 3), jnp.uint8), jnp.array([[1, 0]]))


def test_whole_pixels_are_asked_for():
    with pytest.raises(ValueError, match="pad_px = 4.5 must be a whole number, at least 0"):
        HardCrop(pad_px=4.5).sample(jax.random.key(0), 2, (8, 8))


def test_soft_crop_draws_what_it_is_told():
    draws = SoftCrop(sigma=0.2, rounding="nearest").sample(jax.random.key(0), 64, (16, 24))
    expected = crops.sample_offsets(jax.random.key(0), (64,), size=(16, 24), sigma=0.2, rounding="nearest")
    np.testing.assert_array_equal(draws, expected)
    by_default = crops.sample_offsets(jax.random.key(0), (64,), size=(16, 24), sigma=0.3, rounding="truncate")
    np.testing.assert_array_equal(SoftCrop().sample(jax.random.key(0), 64, (16, 24)), by_default)


@pytest.mark.parametrize("pad_px", [0, 4, 16])
def test_hard_crop_is_uniform_over_whole_pixels_with_both_ends(pad_px):
    draws = np.asarray(HardCrop(pad_px).sample(jax.random.key(1), 5000, (32, 32)))
    assert draws.shape == (5000, 2)
    assert set(np.unique(draws)) == set(range(-pad_px, pad_px + 1))
    if pad_px:
        counts = [np.bincount(axis + pad_px, minlength=2 * pad_px + 1) for axis in draws.T]
        assert all(stats.chisquare(count).pvalue > 1e-3 for count in counts)
        assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(5000)
