"""The host's draws for pairs of views: their names, their distribution, and any split of them."""

import itertools

import jax
import numpy as np
import pytest

from softaug_jax.augment import Chain, ColorJitter, Flip, Member, Pair, ResizedCrop
from softaug_jax.checks import UsageError
from softaug_jax.data.sources import Arrays
from softaug_jax.data.tfdata import train_batches
from tests.augment.box_distribution import assert_inside, assert_same_distribution

PAIR = Pair((Member("crop", ResizedCrop()), Member("jitter", ColorJitter()), Member("flip", Flip())))
DRAWN = ("crop_a", "crop_b", "flip_a", "flip_b")


def blank(count, size):
    return Arrays(np.zeros((count, *size, 3), np.uint8), np.arange(count, dtype=np.int32))


def take(count, *args, **options):
    return list(itertools.islice(train_batches(*args, **options), count))


def test_the_fields_and_what_the_device_makes_of_them():
    (batch,) = take(1, blank(50, (8, 12)), PAIR, seed=0, batch_size=6)
    assert set(batch) == {"image", "label", *DRAWN}  # the jitter is left to the device
    for view in "ab":
        assert batch[f"crop_{view}"].shape == (6, 4) and batch[f"crop_{view}"].dtype == np.int32
        assert batch[f"flip_{view}"].shape == (6,) and batch[f"flip_{view}"].dtype == bool
    out = jax.jit(Pair((PAIR.view[0], PAIR.view[2])).augment)(batch, jax.random.key(0))
    assert out.images.shape == (6, 2, 8, 12, 3)
    assert len(np.unique(out.visibility)) > 1


@pytest.mark.parametrize("processes", [2, 4])
def test_the_processes_parts_make_the_whole_batch(processes):
    options = {"seed": 1, "batch_size": 8, "start_step": 3}
    whole = take(4, blank(30, (16, 16)), PAIR, **options)
    parts = [
        take(4, blank(30, (16, 16)), PAIR, process_index=i, process_count=processes, **options)
        for i in range(processes)
    ]
    for step, of_all in enumerate(whole):
        for name, field in of_all.items():
            np.testing.assert_array_equal(np.concatenate([part[step][name] for part in parts]), field, err_msg=name)


def draw(pair, size, count):
    (batch,) = take(1, blank(count, size), pair, seed=2, batch_size=count)
    return batch


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (48, 64)])
@pytest.mark.parametrize("crop", [ResizedCrop(), ResizedCrop(scale=(0.08, 0.5), ratio=(0.5, 1.2))])
def test_boxes_are_distributed_as_the_device_s(crop, size):
    count = 20_000
    host = draw(Pair((Member("crop", crop),)), size, count)["crop_b"]
    device = np.asarray(crop.sample(jax.random.key(1), count, size))
    assert_inside(host, size)
    assert_same_distribution(host, device)
    for device_edge, host_edge in zip(device.max(0), host.max(0), strict=True):  # both reach the far border
        assert abs(int(device_edge) - int(host_edge)) <= 1


def test_where_no_box_fits_both_fall_back_to_the_central_one():
    crop = ResizedCrop(scale=(0.99, 1.0), ratio=(2.0, 3.0))
    host = draw(Pair((Member("crop", crop),)), (32, 32), 50)["crop_a"]
    np.testing.assert_array_equal(host, [[8, 0, 24, 32]] * 50)


def test_where_few_boxes_fit_the_first_that_does_counts():
    """Some images fall back, some do not, on the host as on the device."""
    crop = ResizedCrop(scale=(0.3, 1.0), ratio=(3.0, 4.0))  # a box fits where area <= H W / ratio, which is rare
    fall_back, count = crop.fall_back((32, 32)), 20_000
    host = draw(Pair((Member("crop", crop),)), (32, 32), count)["crop_a"]
    device = np.asarray(crop.sample(jax.random.key(1), count, (32, 32)))
    shares = [(boxes == fall_back).all(1).mean() for boxes in (host, device)]
    assert 0.05 < shares[0] < 0.95
    assert abs(shares[0] - shares[1]) < 5 * np.sqrt(0.5 / count)


def test_the_views_are_drawn_apart():
    count = 20_000
    batch = draw(PAIR, (32, 32), count)
    for name in ("crop", "flip"):
        columns = [batch[f"{name}_{view}"].reshape(count, -1).astype(float).T for view in "ab"]
        across = np.corrcoef(*columns)[: len(columns[0]), len(columns[0]) :]
        assert np.abs(across).max() < 5 / np.sqrt(count), name


def test_wrong_views_and_ranges():
    arrays = blank(4, (8, 8))
    with pytest.raises(UsageError, match="must begin with a ResizedCrop"):
        train_batches(arrays, Pair((Member("flip", Flip()),)), seed=0, batch_size=2)
    with pytest.raises(ValueError, match=r"scale\[1\] = 2.0 must be at most 1"):
        train_batches(arrays, Chain((Member("crop", ResizedCrop((0.2, 2.0))),)), seed=0, batch_size=2)
