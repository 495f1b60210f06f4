import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from softaug_jax.crops import box_iou, crop, crop_visibility, sample_boxes, sample_offsets

SIZES = [(32, 32), (20, 48), (48, 20), (1, 1)]


def plain_crop(image, offset, fill):
    """out[y, x] = in[y + ty, x + tx], pixel by pixel."""
    height, width, _ = image.shape
    out = np.empty_like(image)
    out[:] = fill
    for y in range(height):
        for x in range(width):
            if 0 <= y + offset[0] < height and 0 <= x + offset[1] < width:
                out[y, x] = image[y + offset[0], x + offset[1]]
    return out


@pytest.mark.parametrize("size", [(32, 32), (20, 48), (48, 20)])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 2.0])
def test_offsets_follow_the_truncated_normal_along_both_axes(size, sigma):
    longer = max(size)
    offsets = np.asarray(sample_offsets(jax.random.key(1), (20_000,), size=size, sigma=sigma))
    normal = stats.truncnorm(-1 / sigma, 1 / sigma, scale=sigma * longer)
    # Truncation toward zero: whole t > 0 stands for [t, t + 1), and 0 for (-1, 1).
    whole = np.arange(1 - longer, longer)
    share = np.where(whole > 0, normal.cdf(whole + 1) - normal.cdf(whole), normal.cdf(whole) - normal.cdf(whole - 1))
    share[whole == 0] = normal.cdf(1) - normal.cdf(-1)
    np.testing.assert_allclose(share.sum(), 1)
    for axis in (0, 1):
        counts = np.bincount(offsets[:, axis] + longer - 1, minlength=2 * longer - 1)
        likely = share * 20_000 >= 5
        observed = np.append(counts[likely], counts[~likely].sum())
        expected = np.append(share[likely], share[~likely].sum()) * 20_000
        keep = expected > 0
        assert stats.chisquare(observed[keep], expected[keep]).pvalue > 1e-3


def test_axes_are_drawn_independently():
    offsets = np.asarray(sample_offsets(jax.random.key(2), (20_000,), size=(32, 32)))
    assert abs(np.corrcoef(offsets.T)[0, 1]) < 4 / np.sqrt(20_000)


def test_nearest_rounding_is_the_truncated_normal_rounded():
    offsets = np.asarray(sample_offsets(jax.random.key(3), (20_000, 1), size=(16, 16), rounding="nearest"))
    assert offsets.shape == (20_000, 1, 2)
    normal = stats.truncnorm(-1 / 0.3, 1 / 0.3, scale=0.3 * 16)
    zeros = normal.cdf(0.5) - normal.cdf(-0.5)
    np.testing.assert_allclose((offsets == 0).mean(), zeros, atol=4 * np.sqrt(zeros / 40_000))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
def test_offsets_are_whole_pixels_below_the_longer_edge(size, rounding):
    offsets = sample_offsets(jax.random.key(0), (5000,), size=size, sigma=50.0, rounding=rounding)
    assert offsets.dtype == jnp.int32
    assert int(jnp.abs(offsets).max()) == max(size) - 1  # with so wide a normal the limit is reached


def test_the_same_key_draws_the_same_offsets_under_jit_and_vmap():
    draw = lambda key: sample_offsets(key, (7,), size=(32, 32))
    keys = lambda: jax.random.split(jax.random.key(5), 3)
    one_by_one = np.stack([draw(key) for key in keys()])
    np.testing.assert_array_equal(jax.jit(jax.vmap(draw))(keys()), one_by_one)
    assert len({bytes(draws) for draws in one_by_one}) == 3


@pytest.mark.parametrize("size", [(32, 32), (12, 20), (20, 12)])
def test_visibility_is_the_share_of_pixels_kept(size, rng):
    longer = max(size)
    offsets = rng.integers(1 - longer, longer, size=(64, 2))
    kept = crop(jnp.ones((64, *size, 1)), offsets, fill=0.0).mean((1, 2, 3))
    np.testing.assert_allclose(crop_visibility(offsets, size), kept, rtol=1e-6)


@pytest.mark.parametrize("size", [(5, 3), (11, 11), (44, 44)])
def test_visibility_of_every_offset_and_its_exact_ends(size):
    height, width = size
    ty, tx = np.mgrid[-height - 1 : height + 2, -width - 1 : width + 2]
    expected = np.maximum(height - abs(ty), 0) * np.maximum(width - abs(tx), 0) / (height * width)
    for run in (crop_visibility, jax.jit(crop_visibility, static_argnums=1)):
        visibility = np.asarray(run(np.stack([ty, tx], -1), size))
        assert visibility.dtype == np.float32
        np.testing.assert_allclose(visibility, expected, rtol=1e-6)
        np.testing.assert_array_equal(visibility == 1, expected == 1)
        np.testing.assert_array_equal(visibility == 0, expected == 0)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "int32"])
def test_narrow_offsets_do_not_overflow(dtype):
    offset = np.array([10, 20], dtype)
    np.testing.assert_allclose(crop_visibility(offset, (224, 224)), 214 * 204 / 224**2, rtol=1e-6)
    assert int(crop(jnp.ones((224, 224, 1), jnp.int32), offset).sum()) == 214 * 204


@given(st.integers(1, 6), st.integers(1, 6), st.integers(-8, 8), st.integers(-8, 8))
def test_crop_moves_pixels_as_the_formula_says(height, width, ty, tx):
    image = np.arange(height * width * 2).reshape(height, width, 2)
    np.testing.assert_array_equal(crop(image, np.array([ty, tx]), fill=-1), plain_crop(image, (ty, tx), -1))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "bfloat16"])
def test_crop_keeps_the_type_and_fills_by_channel(dtype, rng):
    images = rng.integers(0, 100, size=(5, 4, 6, 3)).astype(dtype)
    offsets = rng.integers(-7, 8, size=(5, 2))
    fill = np.array([7, 8, 9])
    out = crop(images, offsets, fill)
    assert out.dtype == images.dtype
    expected = [plain_crop(image, offset, fill) for image, offset in zip(images, offsets, strict=True)]
    np.testing.assert_array_equal(out, np.stack(expected))


@pytest.mark.parametrize("fill", [0.4, 300, -5, np.array([0.0, 0.0, 0.5]), float("nan")])
def test_a_fill_that_the_type_does_not_hold_is_refused_not_changed(fill):
    with pytest.raises(ValueError, match=r"^fill = .* does not exist in uint8\."):
        crop(IMAGES.astype("uint8"), np.array([1, 0]), fill)
    crop(IMAGES.astype("float16"), np.array([1, 0]), fill)


def test_crop_broadcasts_leading_axes(rng):
    images, offsets = rng.normal(size=(3, 4, 4, 1)), rng.integers(-3, 4, size=(3, 2))
    np.testing.assert_array_equal(crop(images[0], offsets)[1], crop(images[0], offsets[1]))
    np.testing.assert_array_equal(crop(images, offsets[0])[2], crop(images[2], offsets[0]))
    grid = crop(images[:, None], offsets)
    assert grid.shape == (3, 3, 4, 4, 1)
    np.testing.assert_array_equal(grid[2, 1], crop(images[2], offsets[1]))


def test_crop_under_jit_and_vmap(rng):
    images, offsets = rng.normal(size=(3, 5, 4, 2)).astype(np.float32), rng.integers(-3, 4, size=(3, 2))
    expected = crop(images, offsets, 0.5)
    np.testing.assert_array_equal(jax.jit(crop)(images, offsets, 0.5), expected)
    np.testing.assert_array_equal(jax.vmap(crop, (0, 0, None))(images, offsets, 0.5), expected)


def test_gradient_of_a_crop_goes_to_the_pixels_it_shows():
    gradient = jax.grad(lambda image: crop(image, jnp.array([1, 0]), 5.0).sum())(jnp.ones((3, 2, 1)))
    np.testing.assert_array_equal(gradient[..., 0], [[0, 0], [1, 1], [1, 1]])


def pixel_iou(a, b):
    """Counts the pixels of a 12 x 12 grid; an inverted box has none."""
    y, x = np.mgrid[:12, :12]
    inside = lambda box: (y >= box[0]) & (y < box[2]) & (x >= box[1]) & (x < box[3])
    union = (inside(a) | inside(b)).sum()
    return (inside(a) & inside(b)).sum() / union if union else 0.0


corner = st.integers(0, 12)
boxes = st.tuples(corner, corner, corner, corner)


@given(boxes, boxes)
def test_iou_counts_pixels_also_of_empty_and_inverted_boxes(a, b):
    np.testing.assert_allclose(box_iou(np.array(a), np.array(b)), pixel_iou(a, b), rtol=1e-6)


def test_iou_of_special_boxes():
    whole, left, right = np.array([0, 0, 4, 4]), np.array([0, 0, 4, 2]), np.array([0, 2, 4, 4])
    empty = np.array([2, 2, 2, 2])
    a = np.stack([whole, whole, left, whole, empty])
    b = np.stack([whole, left, right, empty, empty])
    np.testing.assert_array_equal(box_iou(a, b), [1, 0.5, 0, 0, 0])


def test_iou_broadcasts_and_transforms(rng):
    a, b = np.sort(rng.uniform(size=(3, 2, 2)), 1).reshape(3, 4), np.sort(rng.uniform(size=(2, 2)), 0).reshape(4)
    table = jax.jit(box_iou)(a[:, None], b[None, None])
    np.testing.assert_allclose(table[:, 0], jax.vmap(box_iou, (0, None))(a, b), rtol=1e-6)
    np.testing.assert_allclose(table[:, 0], [box_iou(box, b) for box in a], rtol=1e-6)
    np.testing.assert_allclose(box_iou(a, b), table[:, 0], rtol=1e-6)


def test_iou_has_finite_gradients_where_both_boxes_are_empty():
    empty = jnp.array([2.0, 2.0, 2.0, 2.0])
    assert np.isfinite(jax.grad(box_iou)(empty, empty)).all()


IMAGES = np.zeros((2, 4, 4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda key: sample_offsets(key, (2,), size=(4, 4), sigma=0), "sigma = 0 must be greater than 0."),
        (lambda key: sample_offsets(key, (2,), size=(4,)), "size = (4,) must be (H, W)"),
        (lambda key: sample_offsets(key, (2,), size=4), "size = 4 must be (H, W)"),
        (lambda key: sample_offsets(key, 2, size=(4, 4)), "shape = 2 must be a tuple, for example (2,)."),
        (lambda key: sample_boxes(key, 2, size=(4, 4)), "shape = 2 must be a tuple, for example (2,)."),
        (lambda key: sample_boxes(key, (2,), size=32), "size = 32 must be (H, W)"),
        (lambda key: sample_boxes(key, (2,), size=(4, 4, 3)), "size = (4, 4, 3) must be (H, W)"),
        (
            lambda key: crop_visibility(np.zeros(2, int), (50_000, 50_000)),
            "height * width = 2500000000 must be at most",
        ),
        (
            lambda key: crop(IMAGES.astype("uint8"), np.zeros(2, int), 300),
            "fill = 300 does not exist in uint8.",
        ),
        (lambda key: sample_offsets(key, (2,), size=(0, 4)), "height = 0 must be at least 1."),
        (lambda key: sample_offsets(key, (2,), size=(4, 4), rounding="up"), "Choose from truncate, nearest."),
        (lambda key: crop_visibility(np.zeros(2, int), (4, 4.5)), "width = 4.5 must be a whole number"),
        (lambda key: crop_visibility(np.zeros(3, int), (4, 4)), "offsets has shape (3,); its last axis must be (ty, "),
        (lambda key: crop_visibility(np.zeros(2), (4, 4)), "offsets have dtype float32; they must be integers"),
        (lambda key: crop(IMAGES, np.zeros((2, 3), int)), "offsets has shape (2, 3); its last axis"),
        (lambda key: crop(IMAGES, np.zeros((2, 2))), "offsets have dtype float32; they must be integers"),
        (lambda key: crop(IMAGES, np.zeros((3, 2), int)), "images (2,), offsets (3,)"),
        (lambda key: crop(IMAGES[0, 0], np.zeros(2, int)), "images have shape (4, 3); they must be [..., H, W, C]."),
        (lambda key: crop(IMAGES, np.zeros(2, int), np.zeros(2)), "fill has shape (2,); it must be a scalar or one"),
        (lambda key: box_iou(np.zeros(3), np.zeros(4)), "boxes_a has shape (3,); its last axis must be (y0, x0, y1,"),
        (lambda key: box_iou(np.zeros(4), np.zeros(5)), "boxes_b has shape (5,)"),
        (lambda key: box_iou(np.zeros((3, 4)), np.zeros((2, 4))), "boxes_a (3, 4), boxes_b (2, 4)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(jax.random.key(0))


def test_sigma_may_be_one_an_example():
    draw = lambda sigma: sample_offsets(jax.random.key(0), (2,), size=(32, 32), sigma=sigma)
    both = draw(np.array([[0.1], [0.5]]))
    for row, sigma in enumerate((0.1, 0.5)):
        np.testing.assert_array_equal(both[row], draw(sigma)[row])
    with pytest.raises(ValueError, match=r"do not fit together: sigma \(4,\), offsets \(4, 2\)"):
        sample_offsets(jax.random.key(0), (4,), size=(32, 32), sigma=jnp.full(4, 0.3))
