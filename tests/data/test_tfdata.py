"""The host pipeline: the order of the examples, the draws, and that any step and any split of it agree."""

import itertools
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from softaug_jax import crops
from softaug_jax.augment import Chain, Flip, HardCrop, Member, Normalize, SoftCrop
from softaug_jax.checks import UsageError
from softaug_jax.data.sources import Arrays
from softaug_jax.data.tfdata import train_batches

CHAIN = Chain(
    (
        Member("flip", Flip()),
        Member("normalize", Normalize((0.5,), (0.2,))),
        Member("crop", SoftCrop()),
        Member("shift", HardCrop(3)),
    )
)
EMPTY = Chain(())


def numbered(count, size=(4, 4)):
    """Images that tell which example they are, as their labels do."""
    numbers = np.arange(count, dtype=np.int32)
    images = np.zeros((count, *size, 2), np.uint8)
    images[..., 0], images[..., 1] = (numbers % 256)[:, None, None], (numbers // 256)[:, None, None]
    return Arrays(images, numbers)


def take(count, *args, **options):
    return list(itertools.islice(train_batches(*args, **options), count))


def labels_of(batches):
    return np.concatenate([batch["label"] for batch in batches])


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_the_fields():
    (batch,) = take(1, numbered(50), CHAIN, seed=0, batch_size=8)
    shapes = {name: (field.shape, field.dtype.name) for name, field in batch.items()}
    assert shapes == {
        "image": ((8, 4, 4, 2), "uint8"),
        "label": ((8,), "int32"),
        "flip": ((8,), "bool"),
        "crop": ((8, 2), "int32"),
        "shift": ((8, 2), "int32"),
    }


@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (2, 3), (37, 5), (300, 64), (10, 25)])
def test_every_example_comes_once_an_epoch(count, batch_size):
    epochs = 3
    batches = take(-(-epochs * count // batch_size), numbered(count), EMPTY, seed=3, batch_size=batch_size)
    seen = labels_of(batches)[: epochs * count].reshape(epochs, count)
    for epoch in seen:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))
    for batch in batches:  # no remainder is dropped, and each image has its own label
        image = batch["image"].astype(int)
        np.testing.assert_array_equal(image[:, 0, 0, 0] + 256 * image[:, 0, 0, 1], batch["label"])


def test_epochs_are_shuffled_each_in_its_own_way():
    count, epochs = 2000, 8
    seen = labels_of(take(epochs, numbered(count), EMPTY, seed=0, batch_size=count)).reshape(epochs, count)
    orders = np.concatenate([np.arange(count)[None], seen])
    correlation = np.corrcoef(orders) - np.eye(epochs + 1)
    assert np.abs(correlation).max() < 5 / np.sqrt(count)  # the shuffle with few rounds has 0.76
    # Neighbours in one order are no neighbours in the next.
    place = np.argsort(seen, axis=1)
    steps = np.abs(np.diff(place[1:][np.arange(epochs - 1)[:, None], seen[:-1]], axis=1))
    assert np.all(np.abs(steps.mean(1) / count - 1 / 3) < 0.03)


def test_seeds_differ_in_order_and_draws():
    seeds = (0, 1, -1, 2**32, 2**63)  # also those that only differ in the high bits
    batches = [take(1, numbered(1000), CHAIN, seed=seed, batch_size=200)[0] for seed in seeds]
    for a, b in itertools.combinations(batches, 2):
        for name in ("label", "flip", "crop", "shift"):
            assert (a[name] != b[name]).any(), name


@pytest.mark.parametrize("start", [1, 7, 100_000, 2**33])
def test_any_step_is_reached_at_once(start):
    options = {"seed": 5, "batch_size": 6}
    if start < 10:
        whole = take(start + 4, numbered(25), CHAIN, **options)[start:]
    else:  # the first of four by its own pipeline, the others after it
        whole = [take(1, numbered(25), CHAIN, start_step=start + i, **options)[0] for i in range(4)]
    assert_same(take(4, numbered(25), CHAIN, start_step=start, **options), whole)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_processes_parts_make_the_whole_batch(processes):
    options = {"seed": 1, "batch_size": 8}
    whole = take(6, numbered(30), CHAIN, **options)
    parts = [
        take(6, numbered(30), CHAIN, process_index=i, process_count=processes, **options) for i in range(processes)
    ]
    joined = [
        {name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in zip(*parts, strict=True)
    ]
    assert_same(whole, joined)


def test_the_number_of_threads_changes_nothing():
    runs = [take(20, numbered(30), CHAIN, seed=1, batch_size=8, num_threads=n) for n in (1, 4)]
    assert_same(*runs)


def test_another_process_draws_the_same():
    code = (
        "import numpy as np\n"
        "from softaug_jax.augment import Chain, Member, SoftCrop\n"
        "from softaug_jax.data.sources import Arrays\n"
        "from softaug_jax.data.tfdata import train_batches\n"
        "arrays = Arrays(np.zeros((99, 8, 8, 1), np.uint8), np.arange(99))\n"
        "batch = next(train_batches(arrays, Chain((Member('crop', SoftCrop()),)), seed=4, batch_size=5))\n"
        "print(batch['label'].tolist(), batch['crop'].tolist())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    arrays = Arrays(np.zeros((99, 8, 8, 1), np.uint8), np.arange(99))
    batch = next(train_batches(arrays, Chain((Member("crop", SoftCrop()),)), seed=4, batch_size=5))
    assert shown.stdout.strip() == f"{batch['label'].tolist()} {batch['crop'].tolist()}"
    assert not re.search("WARNING|oneDNN", shown.stderr)


def test_a_member_draws_the_same_beside_others():
    alone = take(3, numbered(30), Chain((Member("crop", SoftCrop()),)), seed=1, batch_size=8)
    beside = take(3, numbered(30), CHAIN, seed=1, batch_size=8)
    for a, b in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(a["crop"], b["crop"])


def draw(transform, size):
    """50,000 draws, over ten steps."""
    arrays = Arrays(np.zeros((5000, *size, 1), np.uint8), np.zeros(5000, np.int32))
    batches = take(10, arrays, Chain((Member("it", transform),)), seed=11, batch_size=5000)
    return np.concatenate([batch["it"] for batch in batches])


@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
@pytest.mark.parametrize(("size", "sigma"), [((32, 32), 0.3), ((8, 12), 0.3), ((32, 32), 5.0), ((32, 32), 0.01)])
def test_soft_crops_are_distributed_as_the_device_s(size, sigma, rounding):
    host = draw(SoftCrop(sigma, rounding=rounding), size)
    device = np.asarray(crops.sample_offsets(jax.random.key(1), (50_000,), size=size, sigma=sigma, rounding=rounding))
    longer = max(size)
    assert np.abs(host).max() < longer
    for axis in (0, 1):
        cumulative = [
            np.cumsum(np.bincount(offsets[:, axis] + longer, minlength=2 * longer)) / 50_000
            for offsets in (host, device)
        ]
        assert np.abs(cumulative[0] - cumulative[1]).max() < 0.0135  # Kolmogorov-Smirnov: about once in 5,000
    assert abs((host[:, 0] * host[:, 1]).mean()) <= 5 * host[:, 0].std() * host[:, 1].std() / np.sqrt(50_000) + 1e-9
    visible = [np.asarray(crops.crop_visibility(offsets, size)) for offsets in (host, device)]
    spread = np.hypot(visible[0].std(), visible[1].std()) / np.sqrt(50_000)
    assert abs(visible[0].mean() - visible[1].mean()) <= 5 * spread + 1e-9


def test_hard_crops_are_uniform_with_both_ends():
    offsets = draw(HardCrop(4), (32, 32))
    for axis in (0, 1):
        counts = np.bincount(offsets[:, axis] + 4, minlength=9)
        assert len(counts) == 9
        assert np.abs(counts / 50_000 - 1 / 9).max() < 5 * np.sqrt(1 / 9 / 50_000)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_the_flip_rate(probability):
    rate = draw(Flip(probability), (8, 8)).mean()
    assert abs(rate - probability) <= 5 * np.sqrt(probability * (1 - probability) / 50_000)


def test_steps_draw_apart():
    batches = take(400, numbered(30), CHAIN, seed=1, batch_size=16)
    offsets = np.stack([batch["crop"] for batch in batches]).reshape(400, -1).astype(float)
    for lag in (1, 2):
        correlation = np.corrcoef(offsets[lag:].ravel(), offsets[:-lag].ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(offsets.size)
    assert len({batch["flip"].tobytes() for batch in batches}) > 350


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 7, "process_count": 2}, "batch_size = 7 does not divide over 2 processes"),
        ({"batch_size": 8, "process_index": 2, "process_count": 2}, "process_index = 2"),
        ({"batch_size": 8, "start_step": -1}, "start_step = -1"),
    ],
)
def test_wrong_arguments(options, expected):
    with pytest.raises(ValueError, match=expected):
        train_batches(numbered(5), EMPTY, seed=0, **options)


def test_wrong_arrays_and_names():
    with pytest.raises(UsageError, match="no training examples"):
        train_batches(numbered(0), EMPTY, seed=0, batch_size=1)
    with pytest.raises(ValueError, match="'label'"):
        train_batches(numbered(5), Chain((Member("label", Flip()),)), seed=0, batch_size=1)
