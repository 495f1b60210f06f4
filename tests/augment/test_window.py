"""Windows that the host cuts: what the device hides and how much it says is visible, against counts of pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import softaug_jax as sa
from softaug_jax.augment import Chain, Flip, HardWindow, Member, Normalize, SoftWindow
from softaug_jax.checks import UsageError
from softaug_jax.data.decode import cut, read_header
from tests.data.made_images import encode


def boxes_for(count, size, seed=0, sigma=0.3):
    return np.asarray(sa.sample_boxes(jax.random.key(seed), (count,), size=size, sigma=sigma))


def test_visibility_is_the_share_of_the_image_s_pixels_in_the_box():
    height, width = 375, 500
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    boxes = boxes_for(200, (height, width))
    counted = [
        ((rows >= y0) & (rows < y1)).sum() * ((columns >= x0) & (columns < x1)).sum() / (height * width)
        for y0, x0, y1, x1 in boxes
    ]
    visibility = np.asarray(sa.box_visibility(boxes))
    # An edge that falls within a pixel counts it or not: at most one row and one column.
    np.testing.assert_allclose(visibility, counted, atol=1 / height + 1 / width)
    assert visibility.min() >= 0 and visibility.max() == 1.0
    assert abs((visibility - counted).mean()) < 2e-4
    assert len(np.unique(visibility)) > 100


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (300, 300)])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 2.0])
def test_shift_and_side_follow_their_truncated_normals(size, sigma):
    boxes = boxes_for(4000, size, sigma=sigma)
    assert boxes.dtype == np.float32
    start, stop = boxes[:, :2] * size, boxes[:, 2:] * size  # pixels
    longer = max(size)
    shift, side = ((start + stop) / 2 - np.array(size) / 2) / longer, (stop - start) / longer
    assert np.abs(shift).max() < 1 + 1e-5 and side.min() > -1e-5 and side.max() < 2 + 1e-5
    normal = stats.truncnorm(-1 / sigma, 1 / sigma, scale=sigma)
    for axis in (0, 1):
        assert stats.kstest(shift[:, axis], normal.cdf).pvalue > 1e-3
        assert stats.kstest(side[:, axis] - 1, normal.cdf).pvalue > 1e-3
    drawn = np.concatenate([shift, side], 1)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 4.5 / np.sqrt(4000)


def test_sizes_may_differ_from_image_to_image():
    heights, widths = np.array([100, 300, 50]), np.array([200, 200, 50])
    draw = lambda size: sa.sample_boxes(jax.random.key(3), (3,), size=size)
    together = jax.jit(draw)((heights, widths))
    for i in range(3):
        np.testing.assert_allclose(draw((int(heights[i]), int(widths[i])))[i], together[i], atol=3e-6)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="sigma = 0"):
        sa.sample_boxes(jax.random.key(0), (2,), size=(3, 4), sigma=0)
    with pytest.raises(ValueError, match="width = 0"):
        sa.sample_boxes(jax.random.key(0), (2,), size=(3, 0))
    with pytest.raises(ValueError, match="last axis must be"):
        sa.box_visibility(jnp.zeros((2, 3)))


def test_what_lies_outside_the_image_becomes_the_mean_colour(rng):
    images = jnp.asarray(rng.normal(size=(60, 16, 16, 3)) + 9, jnp.float32)
    boxes = boxes_for(60, (30, 40))
    out, visibility = jax.jit(SoftWindow().apply)(images, jnp.asarray(boxes))
    places = (np.arange(16) + 0.5) / 16
    hidden = 0
    for image, (y0, x0, y1, x1), ours in zip(np.asarray(images), boxes.astype(float), np.asarray(out), strict=True):
        inside = [[0 <= y0 + y * (y1 - y0) <= 1 and 0 <= x0 + x * (x1 - x0) <= 1 for x in places] for y in places]
        np.testing.assert_array_equal(ours, np.where(np.array(inside)[..., None], image, 0))
        hidden += 256 - np.sum(inside)
    assert 1000 < hidden < 60 * 256 - 1000
    np.testing.assert_array_equal(visibility, sa.box_visibility(boxes))


def test_the_host_fills_every_pixel_that_the_device_keeps():
    data = encode(np.full((30, 40, 3), 255, np.uint8), "PNG")
    boxes = boxes_for(200, (30, 40), seed=4)
    images = np.stack([cut(read_header(data), tuple(map(float, box)), 16) for box in boxes])
    kept, _ = SoftWindow().apply(jnp.ones((200, 16, 16, 1)), jnp.asarray(boxes))
    kept = np.asarray(kept)[..., 0] > 0
    filled = images[..., 0] == 255
    assert (filled >= kept).all()
    assert (filled & ~kept).sum() <= 16  # a pixel whose centre is at the edge but for rounding


def test_a_box_of_zeros_changes_nothing(rng):
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    out, visibility = SoftWindow().apply(images, jnp.zeros((2, 4)))
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, 1.0)


def test_switched_off_in_a_chain(rng):
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    chain = Chain((Member("crop", SoftWindow(), until_step=3),))
    draws = {"crop": jnp.array([[-0.5, 0.0, 0.5, 1.0], [0.0, -1.0, 1.0, 3.0]])}
    np.testing.assert_allclose(chain.apply(images, draws, 2)[1], [0.5, 1.0])
    out, visibility = chain.apply(images, draws, 3)
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, 1.0)


def test_a_hard_window_is_left_as_the_host_cut_it(rng):
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    out, visibility = HardWindow().apply(images, jnp.array([[0.0, 0.0, 0.5, 0.5], [0.1, 0.2, 1.0, 1.0]]))
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, 1.0)


@pytest.mark.parametrize("window", [SoftWindow(), HardWindow()])
def test_without_boxes_the_way_out_is_named(window):
    chain = Chain((Member("flip", Flip()), Member("normalize", Normalize((0.5,), (0.2,))), Member("crop", window)))
    with pytest.raises(UsageError, match='has no boxes for it. Set config.data.loader = "tfdata"'):
        chain.augment({"image": jnp.zeros((2, 8, 8, 3), jnp.uint8)}, jax.random.key(0))
    augmented = chain.augment(
        {"image": jnp.zeros((2, 8, 8, 3), jnp.uint8), "crop": jnp.array([[0.0, 0.0, 1.0, 1.0]] * 2)}, jax.random.key(0)
    )
    np.testing.assert_array_equal(augmented.visibility, 1.0)
