import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Cutout, RandomErasing

SIZE = (12, 20)


def covered(transform, boxes):
    """How many pixels of each image the transform changed, and the visibility it reports."""
    images = jnp.ones((len(boxes), *SIZE, 2))
    out, visibility = transform.apply(images, boxes)
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    return np.asarray(1.0 - out[..., 0]), np.asarray(visibility)


@pytest.mark.parametrize("length", [1, 4, 5, 40])
def test_cutout_covers_a_square_cut_off_at_the_edges(length):
    cutout = Cutout(length)
    boxes = cutout.sample(jax.random.key(0), 500, SIZE)
    changed, visibility = covered(cutout, boxes)
    np.testing.assert_array_equal(visibility, 1.0)
    if length == 40:
        assert (changed == 1).all()  # larger than the image, wherever its centre is
        return
    rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
    np.testing.assert_array_equal(changed.sum((1, 2)), rows * columns)
    assert rows.max() == columns.max() == length
    # Half of it, rounded up, is left where its centre is on an edge.
    assert rows.min() == columns.min() == min(length - length // 2, length // 2 + 1)


def test_cutouts_centre_is_uniform():
    centres = np.asarray(Cutout(1).sample(jax.random.key(1), 24_000, SIZE))[:, :2]
    counts = np.bincount(centres[:, 0] * 20 + centres[:, 1], minlength=240)
    assert abs(counts - 100).max() < 5 * np.sqrt(100)


def test_random_erasings_area_and_aspect_are_within_their_ranges():
    boxes = np.asarray(RandomErasing(probability=1.0).sample(jax.random.key(0), 4000, SIZE))
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= SIZE[0]).all() and (boxes[:, 3] <= SIZE[1]).all()
    slack_px = 0.5 * (heights + widths) + 0.25  # rounding a side by half a pixel
    area_px = heights * widths
    assert (area_px >= 0.02 * 240 - slack_px).all() and (area_px <= 0.4 * 240 + slack_px).all()
    np.testing.assert_allclose(area_px.mean(), 0.21 * 240, rtol=0.03)
    big = np.minimum(heights, widths) >= 3
    assert (heights / widths)[big].max() < 1.3 / 0.3
    assert (widths / heights)[big].max() < 1.3 / 0.3


def test_random_erasing_leaves_the_others_alone_and_soft_says_what_it_hid():
    for soft in (False, True):
        erasing = RandomErasing(probability=0.3, soft=soft)
        changed, visibility = covered(erasing, erasing.sample(jax.random.key(2), 4000, SIZE))
        share = changed.mean((1, 2))
        np.testing.assert_allclose(visibility, 1.0 - share if soft else np.ones(4000), atol=1e-6)
        np.testing.assert_allclose((share > 0).mean(), 0.3, atol=5 * np.sqrt(0.21 / 4000))


def test_zero_draws_change_nothing_and_jit_equals_eager(rng):
    images = jnp.asarray(rng.normal(size=(4, *SIZE, 3)), jnp.float32)
    for transform in (Cutout(6), RandomErasing(1.0, soft=True)):
        out, visibility = transform.apply(images, jnp.zeros((4, 4), jnp.int32))
        np.testing.assert_array_equal(out, images)
        np.testing.assert_array_equal(visibility, 1.0)
        boxes = transform.sample(jax.random.key(0), 4, SIZE)
        np.testing.assert_array_equal(jax.jit(transform.apply)(images, boxes)[0], transform.apply(images, boxes)[0])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="length_px = 4.5 must be a whole number, at least 0"):
        Cutout(4.5).sample(jax.random.key(0), 2, SIZE)
    with pytest.raises(ValueError, match=r"fill = 0.4 does not exist in uint8\."):
        Cutout(4, fill=0.4).apply(jnp.zeros((2, *SIZE, 1), jnp.uint8), jnp.zeros((2, 4), jnp.int32))
