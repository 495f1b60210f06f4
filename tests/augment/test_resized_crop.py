"""The boxes are distributed as torchvision's, and what they show is what Pillow makes of them."""

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from softaug_jax.augment import Chain, Member, ResizedCrop
from softaug_jax.augment.resized_crop import interpolation
from tests.augment.box_distribution import assert_inside, assert_same_distribution

SIZES = [(32, 32), (8, 8), (48, 64)]


def random_boxes(rng, count, size):
    """Boxes of any size from one pixel on, anywhere in the image."""
    corners = [np.sort(rng.choice(length + 1, 2, replace=False)) for _ in range(count) for length in size]
    return np.array(corners).reshape(count, 2, 2).transpose(0, 2, 1).reshape(count, 4)


def pillow(channel, box, mode):
    """Cuts out, then enlarges to the size of the source."""
    y0, x0, y1, x1 = (int(edge) for edge in box)
    cut = Image.fromarray(channel[y0:y1, x0:x1]).convert(mode)
    return np.asarray(cut.resize(channel.shape[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", SIZES)
def test_shows_what_pillow_makes_of_the_box(size, rng):
    images = rng.integers(0, 256, (60, *size, 3)).astype(np.uint8)
    boxes = random_boxes(rng, 60, size)
    out, visibility = jax.jit(ResizedCrop().apply)(images, jnp.asarray(boxes))
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(visibility, np.ones(60))
    for image, box, ours in zip(images, boxes, np.asarray(out), strict=True):
        for c in range(3):
            np.testing.assert_allclose(ours[..., c], pillow(image[..., c].astype(np.float32), box, "F"), atol=1e-3)
            grey_levels = pillow(image[..., c], box, "L").astype(float)
            assert np.abs(ours[..., c] - grey_levels).max() < 1.001  # Pillow rounds after each of its two passes


def test_shows_what_torchvision_makes_of_the_box(rng):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images = rng.integers(0, 256, (20, 48, 64, 3)).astype(np.float32)
    boxes = random_boxes(rng, 20, (48, 64))
    out, _ = ResizedCrop().apply(jnp.asarray(images), jnp.asarray(boxes))
    for image, (y0, x0, y1, x1), ours in zip(images, boxes.tolist(), np.asarray(out), strict=True):
        chw = torch.from_numpy(image.transpose(2, 0, 1).copy())
        theirs = functional.resized_crop(chw, y0, x0, y1 - y0, x1 - x0, [48, 64], antialias=True)
        np.testing.assert_allclose(ours, theirs.numpy().transpose(1, 2, 0), atol=1e-3)


@pytest.mark.parametrize("size", [*SIZES, (44, 44)])
@pytest.mark.parametrize("whole", [False, True])
def test_an_empty_box_and_the_whole_image_change_nothing(size, whole, rng):
    images = rng.normal(size=(3, *size, 2)).astype(np.float32)
    boxes = jnp.array([[0, 0, *size]] * 3) if whole else jnp.zeros((3, 4), jnp.int32)
    out, _ = jax.jit(ResizedCrop().apply)(images, boxes)
    np.testing.assert_array_equal(out, images)


def test_off_from_its_step_on(rng):
    images = jnp.asarray(rng.normal(size=(2, 8, 8, 1)), jnp.float32)
    chain = Chain((Member("crop", ResizedCrop(), until_step=5),))
    draws = {"crop": jnp.array([[0, 0, 4, 4], [2, 2, 8, 7]])}
    np.testing.assert_array_equal(chain.apply(images, draws, 5)[0], images)
    assert np.abs(chain.apply(images, draws, 4)[0] - images).max() > 0.5


def test_what_lies_outside_the_box_has_no_part_in_the_view(rng):
    images = np.full((8, 16, 16, 1), np.float32(1e6))
    boxes = random_boxes(rng, 8, (16, 16))
    for image, (y0, x0, y1, x1) in zip(images, boxes, strict=True):
        image[y0:y1, x0:x1] = 1.0
    np.testing.assert_allclose(ResizedCrop().apply(jnp.asarray(images), jnp.asarray(boxes))[0], 1.0, rtol=1e-6)


def test_weights_by_hand():
    # Two pixels, from 1 to 3, enlarged to four: their centres are at output places 0.5 and 2.5.
    weights = interpolation(jnp.array([1]), jnp.array([3]), 4)
    by_hand = [[0, 1, 0, 0], [0, 0.75, 0.25, 0], [0, 0.25, 0.75, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(weights, [by_hand])


def torchvision_like(count, size, scale, ratio, seed=0):
    """torchvision's loop, one box after the other: int [count, 4]."""
    draw = random.Random(seed)
    boxes = []
    while len(boxes) < count:
        for _ in range(10):
            area = size[0] * size[1] * draw.uniform(*scale)
            aspect = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
            height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < width <= size[1] and 0 < height <= size[0]:
                y0, x0 = draw.randint(0, size[0] - height), draw.randint(0, size[1] - width)
                boxes.append((y0, x0, y0 + height, x0 + width))
                break
        else:
            raise AssertionError("These tests' settings always fit within ten tries.")
    return np.array(boxes)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "ratio"), [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.08, 0.5), (0.5, 1.2))])
def test_boxes_are_distributed_as_torchvision_s(size, scale, ratio):
    count = 20_000
    boxes = np.asarray(ResizedCrop(scale, ratio).sample(jax.random.key(0), count, size))
    assert boxes.shape == (count, 4)
    assert boxes.dtype == np.int32
    assert_inside(boxes, size)
    assert_same_distribution(boxes, torchvision_like(count, size, scale, ratio))


def test_boxes_are_distributed_as_torchvision_itself_has_them():
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchvision.transforms").RandomResizedCrop
    torch.manual_seed(0)
    image = torch.zeros(1, 32, 32)
    placed = np.array([theirs.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(5000)])
    theirs_boxes = np.concatenate([placed[:, :2], placed[:, :2] + placed[:, 2:]], axis=1)
    assert_same_distribution(np.asarray(ResizedCrop().sample(jax.random.key(1), 20_000, (32, 32))), theirs_boxes)


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        ((32, 32), (2.0, 3.0), (8, 0, 24, 32)),  # too tall an image: as wide as it, half as high, in the middle
        ((32, 32), (0.25, 0.5), (0, 8, 32, 24)),
        ((10, 60), (3 / 4, 4 / 3), (0, 23, 10, 36)),
        ((32, 32), (0.9, 1.1), (0, 0, 32, 32)),  # an image of a ratio that is asked for, whole
    ],
)
def test_the_fall_back_is_the_central_box(size, ratio, expected):
    crop = ResizedCrop(scale=(0.99, 1.0), ratio=ratio)
    assert crop.fall_back(size) == expected
    if ratio != (0.9, 1.1):  # those three never fit
        boxes = crop.sample(jax.random.key(0), 50, size)
        np.testing.assert_array_equal(boxes, [expected] * 50)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        (ResizedCrop(scale=(0.0, 1.0)), r"scale\[0\] = 0.0 must be greater than 0"),
        (ResizedCrop(scale=(0.5, 0.2)), r"scale\[0\] = 0.5 must be at most 0.2"),
        (ResizedCrop(scale=(0.2, 1.5)), r"scale\[1\] = 1.5 must be at most 1"),
        (ResizedCrop(ratio=(0.75, float("inf"))), r"ratio\[1\] = inf must be finite"),
        (ResizedCrop(ratio=(2.0, 1.0)), r"ratio\[0\] = 2.0 must be at most 1.0"),
    ],
)
def test_wrong_ranges(crop, message):
    with pytest.raises(ValueError, match=message):
        crop.sample(jax.random.key(0), 1, (8, 8))


def test_wrong_boxes():
    with pytest.raises(ValueError, match=r"boxes has shape \(1, 2\)"):
        ResizedCrop().apply(jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 2), jnp.int32))
