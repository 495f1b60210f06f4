"""The squares: how large, where, of what colour; and the error under them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from softaug_jax.evals import Occluded, Occlusion, occlude, square_corners, square_side
from softaug_jax.evals.occlusion import noise
from softaug_jax.train.validate import validate
from tests.train.helpers import config


def test_the_paper_s_sides():
    assert [square_side(share, (224, 224)) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)] == [0, 100, 142, 174, 200, 224]
    assert square_side(0.8, (4, 100)) == 4  # no square of 18 pixels fits


@pytest.mark.parametrize(("size", "side"), [((8, 8), 5), ((6, 11), 6), ((5, 7), 0), ((9, 4), 1)])
def test_the_square_is_whole_and_inside_and_of_its_colour(rng, size, side):
    images = rng.integers(0, 200, (40, *size, 3), dtype=np.uint8)
    corners = jax.jit(partial(square_corners, side=side, size=size))(np.arange(40), key=jax.random.key(3), draw=0)
    fill = np.array([201.5, 210.0, 255.0], np.float32)
    occluded = np.asarray(jax.jit(occlude, static_argnums=2)(images, corners, side, fill))
    assert occluded.dtype == np.float32
    for image, before, (y, x) in zip(occluded, images, np.asarray(corners), strict=True):
        wanted = before.astype(np.float32)
        wanted[y : y + side, x : x + side] = fill
        assert 0 <= y <= size[0] - side
        assert 0 <= x <= size[1] - side
        np.testing.assert_array_equal(image, wanted)
        assert (image > 200).all(-1).sum() == side**2


def test_every_place_is_equally_likely():
    corners = np.asarray(square_corners(np.arange(6000), key=jax.random.key(0), draw=0, side=5, size=(8, 9)))
    counts = np.zeros((4, 5))
    np.add.at(counts, tuple(corners.T), 1)
    chi_square = ((counts - 300) ** 2 / 300).sum()  # 19 degrees of freedom: mean 19, standard deviation 6.2
    assert 3 < chi_square < 50


def test_the_place_depends_on_the_example_alone():
    draw = partial(square_corners, key=jax.random.key(1), draw=0, side=3, size=(32, 32))
    all_of_them = np.asarray(draw(np.arange(50)))
    np.testing.assert_array_equal(draw(np.array([7, 49, 7])), all_of_them[[7, 49, 7]])
    for changed in ({"key": jax.random.key(2)}, {"draw": 1}, {"side": 4}):
        assert (np.asarray(draw(np.arange(50), **changed)) != all_of_them).any(1).mean() > 0.9


def test_places_and_noise_of_a_seed_stay_what_they_are():
    drawn = {"key": jax.random.key(2**31 - 1), "draw": 1, "side": 5}
    corners = square_corners(np.arange(4), size=(32, 32), **drawn)
    np.testing.assert_array_equal(corners, [[3, 7], [10, 3], [23, 0], [3, 20]])
    of_two = noise(np.arange(2), shape=(2, 2, 1), **drawn)
    np.testing.assert_array_equal(of_two.ravel(), [28, 129, 46, 216, 7, 50, 174, 92])


@pytest.mark.parametrize("seed", [3_000_000_000, 2**40, -1])
def test_every_seed_that_a_key_can_be_made_of_has_its_squares(seed):
    batch = {"image": np.full((16, 8, 8, 1), 9, np.uint8), "index": np.arange(16, dtype=np.int32)}
    shown = np.asarray(Occlusion(brightest, [], fill=0.0, seed=seed).occluded(batch, 0.4))
    corners = square_corners(np.arange(16), key=jax.random.key(seed), draw=0, side=5, size=(8, 8))
    np.testing.assert_array_equal(shown, occlude(batch["image"], corners, 5, 0.0))
    (hidden,) = Occluded([batch], share=0.4, seed=seed, fill=0.0)
    np.testing.assert_array_equal(hidden["image"], shown)


def brightest(state, images):
    """Calls an image 1 if any pixel is brighter than the state."""
    is_bright = (images.max((1, 2, 3)) > state).astype(jnp.float32)
    return jnp.stack([jnp.zeros_like(is_bright), is_bright - 0.5], -1)


def batches_of(images, labels, batch_size):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    for start in range(0, len(labels), batch_size):
        index = np.arange(start, start + batch_size)
        mask = index < len(labels)
        index = np.where(mask, index, 0)
        batch = {"image": images[index], "label": labels[index], "mask": mask, "index": index.astype(np.int32)}
        yield jax.device_put(batch, sharding)


def evaluate(images, labels, batch_size, **kwargs):
    occlusion = Occlusion(jax.jit(brightest), list(batches_of(images, labels, batch_size)), **kwargs)
    return dict(occlusion.run(np.float32(100)))


@pytest.fixture
def one_bright_pixel():
    """200 images of 8x8, each with one bright pixel, in the corner, which squares seldom cover: the label is 1."""
    images = np.zeros((200, 8, 8, 1), np.uint8)
    images[:, 0, 0] = 200
    return images, np.ones(200, np.int32)


def test_the_error_is_how_often_the_square_covers_the_pixel(one_bright_pixel):
    images, labels = one_bright_pixel
    results = evaluate(images, labels, 64, shares=(0.0, 0.4, 1.0), fill=(0.0,), draws=2, seed=5)
    means = [name for name in results if "std" not in name]
    assert means == ["occlusion/top1_error@0%", "occlusion/top1_error@40%", "occlusion/top1_error@100%"]
    corners = [square_corners(np.arange(200), key=jax.random.key(5), draw=draw, side=5, size=(8, 8)) for draw in (0, 1)]
    covered = np.mean([(np.asarray(c) == 0).all(1) for c in corners])
    assert 0 < covered < 0.2
    assert results["occlusion/top1_error@0%"] == 0
    assert results["occlusion/top1_error@40%"] == pytest.approx(covered)
    assert results["occlusion/top1_error@100%"] == 1


def test_batches_padding_and_other_shares_change_nothing(one_bright_pixel):
    images, labels = one_bright_pixel
    whole = evaluate(images, labels, 200, shares=(0.2, 0.6), fill=0.0)
    assert evaluate(images, labels, 16, shares=(0.2, 0.6), fill=0.0) == whole
    name = "occlusion/top1_error@60%"
    assert evaluate(images, labels, 48, shares=(0.6,), fill=0.0)[name] == whole[name]


def test_the_fill_is_what_the_model_sees():
    images = np.zeros((16, 8, 8, 1), np.uint8)
    labels = np.zeros(16, np.int32)
    assert evaluate(images, labels, 16, shares=(0.5,), fill=(99.0,)) == {"occlusion/top1_error@50%": 0.0}
    assert evaluate(images, labels, 16, shares=(0.5,), fill=(101.0,)) == {"occlusion/top1_error@50%": 1.0}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"shares": (1.5,)}, "shares = 1.5"),
        ({"shares": (0.2, 0.201)}, "percent"),
        ({"draws": 0}, "draws = 0"),
        ({"draws": 1.5}, "whole"),
    ],
)
def test_static_mistakes_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Occlusion(brightest, [], fill=0.0, **kwargs)
    with pytest.raises(ValueError, match="side = 9"):
        square_corners(np.arange(2), key=jax.random.key(0), draw=0, side=9, size=(8, 8))


def test_a_run_is_not_trained_whose_shares_would_share_a_name():
    with pytest.raises(
        ValueError, match=r"config.evals.occlusion_shares = \(0.2, 0.201\) must differ by at least a percent"
    ):
        validate(config(evals__occlusion_shares=(0.2, 0.201)), 1)


def test_the_spread_is_that_of_the_draws_errors(one_bright_pixel):
    images, labels = one_bright_pixel
    results = evaluate(images, labels, 64, shares=(0.0, 0.4), fill=0.0, draws=4, seed=2)
    errors = []
    for draw in range(4):
        corners = np.asarray(square_corners(np.arange(200), key=jax.random.key(2), draw=draw, side=5, size=(8, 8)))
        errors.append((corners == 0).all(1).mean())
    assert list(results) == [f"occlusion/top1_error{kind}@{share}" for share in ("0%", "40%") for kind in ("", "_std")]
    assert results["occlusion/top1_error@40%"] == pytest.approx(np.mean(errors))
    assert results["occlusion/top1_error_std@40%"] == pytest.approx(np.std(errors, ddof=1)) and np.std(errors) > 0
    assert results["occlusion/top1_error_std@0%"] == 0


def test_noise_is_uniform_and_independent_and_only_in_the_square():
    images = np.full((64, 16, 16, 3), 300, np.float32)  # no pixel of the noise is so bright
    batch = {"image": images, "index": np.arange(64, dtype=np.int32)}
    occlusion = Occlusion(brightest, [], fill="noise", seed=1)
    shown = [np.asarray(occlusion.occluded(batch, 0.4, draw)) for draw in (0, 1)]
    corners = np.asarray(square_corners(np.arange(64), key=jax.random.key(1), draw=0, side=10, size=(16, 16)))
    for image, (y, x) in zip(shown[0], corners, strict=True):
        covered = np.zeros((16, 16), bool)
        covered[y : y + 10, x : x + 10] = True
        np.testing.assert_array_equal((image < 300).all(-1), covered)
        np.testing.assert_array_equal((image == 300).all(-1), ~covered)
    values = shown[0][shown[0] < 300]
    assert set(values) == set(range(256))
    assert len(values) == 64 * 100 * 3
    expected = len(values) / 256
    chi_square = ((np.bincount(values.astype(int), minlength=256) - expected) ** 2 / expected).sum()
    assert 150 < chi_square < 370  # 255 degrees of freedom: mean 255, standard deviation 23
    by_channel = values.reshape(-1, 3)
    assert np.abs(np.corrcoef(by_channel.T) - np.eye(3)).max() < 0.06
    again = np.asarray(occlusion.occluded({"image": images[5:9], "index": batch["index"][5:9]}, 0.4))
    np.testing.assert_array_equal(again, shown[0][5:9])
    assert (shown[0] != shown[1]).any((1, 2, 3)).all()
    with pytest.raises(ValueError, match="fill = 'red' is unknown. Choose from noise"):
        Occlusion(brightest, [], fill="red")
