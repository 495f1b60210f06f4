"""Two views: independent draws, the IoU of their boxes, and the same result however the batch is spread."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from softaug_jax.augment import (
    ColorJitter,
    Flip,
    Grayscale,
    Member,
    Normalize,
    Pair,
    RandomErasing,
    ResizedCrop,
    SoftCrop,
)
from softaug_jax.checks import UsageError

CROP = Member("crop", ResizedCrop())
FLIP = Member("flip", Flip())
NORMALIZE = Member("normalize", Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)))
PAIR = Pair((CROP, Member("jitter", ColorJitter()), Member("grey", Grayscale()), FLIP, NORMALIZE))


def random_images(rng, count, side=12):
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def pixel_iou(box_a, box_b, side):
    """By counting pixels."""
    masks = np.zeros((2, side, side), bool)
    for mask, (y0, x0, y1, x1) in zip(masks, (box_a, box_b), strict=True):
        mask[y0:y1, x0:x1] = True
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def two_boxes(count):
    """The same two, which overlap, for all images."""
    return {"crop_a": jnp.array([[0, 1, 7, 9]] * count), "crop_b": jnp.array([[3, 2, 12, 12]] * count)}


def test_the_names():
    view = ["crop", "jitter", "grey", "flip", "normalize"]
    assert [m.name for m in PAIR.members] == [f"{name}_a" for name in view] + [f"{name}_b" for name in view]
    draws = jax.eval_shape(lambda key: PAIR.sample(key, 2, (8, 8)), jax.random.key(0))
    assert draws.keys() == {m.name for m in PAIR.members}


def test_each_view_is_its_members_one_after_the_other(rng):
    images = random_images(rng, 16)
    draws = jax.jit(lambda key: PAIR.sample(key, 16, (12, 12)))(jax.random.key(5))
    out = jax.jit(PAIR.augment)({"image": images}, jax.random.key(5))
    assert out.images.shape == (16, 2, 12, 12, 3)
    assert out.share is None
    for number, suffix in enumerate("ab"):
        expected = jnp.asarray(images)
        for name, transform, _ in PAIR.view:
            expected, _ = jax.jit(transform.apply)(expected, draws[f"{name}_{suffix}"])
        np.testing.assert_allclose(out.images[:, number], expected, atol=1e-5)
    boxes = zip(np.asarray(draws["crop_a"]), np.asarray(draws["crop_b"]), strict=True)
    np.testing.assert_allclose(out.visibility, [pixel_iou(a, b, 12) for a, b in boxes], rtol=1e-6)


def test_a_flip_mirrors_the_view_and_leaves_the_iou(rng):
    pair = Pair((CROP, FLIP))
    batch = {"image": random_images(rng, 8), **two_boxes(8)}
    batch |= {"flip_a": jnp.zeros(8, bool), "flip_b": jnp.zeros(8, bool)}
    plain = pair.augment(batch, jax.random.key(0))
    flipped = pair.augment({**batch, "flip_b": jnp.ones(8, bool)}, jax.random.key(0))
    np.testing.assert_array_equal(flipped.images[:, 0], plain.images[:, 0])
    np.testing.assert_array_equal(flipped.images[:, 1], plain.images[:, 1, :, ::-1])
    np.testing.assert_array_equal(flipped.visibility, plain.visibility)


def test_draws_that_come_with_the_batch_are_taken_as_they_are(rng):
    boxes = {"crop_a": np.array([[0, 0, 6, 12]] * 4), "crop_b": np.array([[3, 0, 12, 12]] * 4)}
    images = random_images(rng, 4)
    pair = Pair((CROP, FLIP))
    out = jax.jit(pair.augment)({"image": images, "label": jnp.zeros(4), **boxes}, jax.random.key(0))
    np.testing.assert_allclose(out.visibility, [3 / 12] * 4, rtol=1e-6)
    own = pair.sample(jax.random.key(0), 4, (12, 12))
    given = pair.sample(jax.random.key(0), 4, (12, 12), given=boxes)
    np.testing.assert_array_equal(given["crop_a"], boxes["crop_a"])
    np.testing.assert_array_equal(given["flip_b"], own["flip_b"])


def test_the_same_box_twice_is_one_and_boxes_apart_are_nothing(rng):
    pair = Pair((CROP,))
    a = jnp.array([[1, 2, 7, 9], [0, 0, 5, 5], [0, 0, 0, 0], [0, 0, 0, 0]])
    b = jnp.array([[1, 2, 7, 9], [5, 5, 12, 12], [0, 0, 12, 12], [0, 0, 0, 0]])  # an empty box is the whole image
    images = random_images(rng, 4)
    out = pair.augment({"image": images, "crop_a": a, "crop_b": b}, jax.random.key(0))
    np.testing.assert_array_equal(out.visibility, [1, 0, 1, 1])
    np.testing.assert_array_equal(out.images[0, 0], out.images[0, 1])
    np.testing.assert_array_equal(out.images[3, 1], images[3])


@pytest.mark.parametrize("step", [4, 5])
def test_a_crop_that_is_off_shows_the_whole_image_twice(step, rng):
    pair = Pair((CROP._replace(until_step=5), FLIP._replace(until_step=5)))
    images = random_images(rng, 6)
    out = jax.jit(pair.augment)({"image": images}, jax.random.key(0), step)
    whole = np.stack([images, images], axis=1)
    if step == 5:
        np.testing.assert_array_equal(out.visibility, np.ones(6))
        np.testing.assert_array_equal(out.images, whole)
    else:
        assert (np.asarray(out.visibility) < 1).all()
        assert np.abs(out.images - whole).max() > 20


def test_what_a_soft_member_hides_multiplies_in(rng):
    plain, soft = Pair((CROP,)), Pair((CROP, Member("erase", RandomErasing(probability=1.0, soft=True))))
    batch = {"image": random_images(rng, 6), "erase_a": jnp.array([[0, 0, 6, 12]] * 6)}
    batch |= {"erase_b": jnp.array([[0, 0, 12, 3]] * 6), **two_boxes(6)}
    visibility = [jax.jit(pair.augment)(batch, jax.random.key(2)).visibility for pair in (plain, soft)]
    np.testing.assert_allclose(visibility[1], visibility[0] * 0.5 * 0.75, rtol=1e-6)


def test_the_views_are_drawn_apart():
    count = 20_000
    draws = jax.jit(lambda key: PAIR.sample(key, count, (32, 32)))(jax.random.key(7))
    draws = jax.tree.map(np.asarray, draws)
    pairs = {name: (draws[f"{name}_a"], draws[f"{name}_b"]) for name in ("flip", "grey", "crop")}
    for field in ("brightness", "contrast", "saturation", "hue"):
        pairs[field] = (getattr(draws["jitter_a"], field), getattr(draws["jitter_b"], field))
    for name, (a, b) in pairs.items():
        columns = [x.reshape(count, -1).astype(float).T for x in (a, b)]
        across = np.corrcoef(*columns)[: len(columns[0]), len(columns[0]) :]
        assert np.abs(across).max() < 5 / np.sqrt(count), name
        assert (columns[0] != columns[1]).any()


def test_the_mean_iou_is_that_of_independent_boxes():
    """Over pairs of the same image and over pairs of boxes of different images alike."""
    count = 2000
    draws = Pair((CROP,)).sample(jax.random.key(1), count, (32, 32))
    a, b = np.asarray(draws["crop_a"]), np.asarray(draws["crop_b"])
    own = np.array([pixel_iou(*boxes, 32) for boxes in zip(a, b, strict=True)])
    others = np.array([pixel_iou(*boxes, 32) for boxes in zip(a, np.roll(b, 1, axis=0), strict=True)])
    assert abs(own.mean() - others.mean()) < 5 * np.hypot(own.std(), others.std()) / np.sqrt(count)
    assert own.std() > 0.05


def test_one_device_and_eight_agree(rng):
    images, key = random_images(rng, 16), jax.random.key(0)
    pair = Pair((CROP, Member("jitter", ColorJitter()), FLIP))
    results = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = Mesh(np.array(devices), ("data",))
        rows, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        augment = jax.jit(pair.augment, in_shardings=(rows, everywhere), out_shardings=rows)
        out = augment({"image": jax.device_put(images, rows)}, jax.device_put(key, everywhere))
        assert len(out.images.sharding.device_set) == len(devices)
        results.append(jax.tree.map(np.asarray, out))
    np.testing.assert_array_equal(results[0].visibility, results[1].visibility)
    np.testing.assert_allclose(results[0].images, results[1].images, atol=1e-5)


@pytest.mark.parametrize("view", [(), (FLIP, CROP), (FLIP,), (CROP, CROP), (Member("crop", SoftCrop()),)])
def test_a_view_begins_with_its_one_crop(view):
    with pytest.raises(UsageError, match="must begin with a ResizedCrop"):
        Pair(view).sample(jax.random.key(0), 2, (8, 8))
