"""Batches from image files: the order, the boxes and their draws, the pixels, evaluation."""

import io
import itertools
import os

import jax
import numpy as np
import pytest
from PIL import Image

from softaug_jax import crops
from softaug_jax.augment import Chain, Flip, HardCrop, HardWindow, Member, ResizedCrop, SoftWindow
from softaug_jax.checks import UsageError
from softaug_jax.data import image_filling, tfdata
from softaug_jax.data.image_batches import EvalImages, train_batches
from softaug_jax.data.image_folder import ImageFolder
from softaug_jax.data.sources import Arrays
from softaug_jax.train import sharding
from tests.data.image_sets import HARD, NORMALIZE, OPTIONS, SOFT, InMemory, take
from tests.data.made_images import encode, make_folders, pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ImageFolder(make_folders(tmp_path_factory.mktemp("set"), train=40, test=19) / "train")


@pytest.fixture(scope="module")
def test_folder(folder):
    return ImageFolder(folder.root.parent / "val")


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_the_fields(folder):
    (batch,) = take(1, folder, Chain((*SOFT.members, Member("shift", HardCrop(2)))))
    assert {name: (field.shape, field.dtype.name) for name, field in batch.items()} == {
        "image": ((6, 16, 16, 3), "uint8"),
        "label": ((6,), "int32"),
        "flip": ((6,), "bool"),
        "crop": ((6, 4), "float32"),
        "shift": ((6, 2), "int32"),
    }


def test_the_stream_and_the_flips_are_those_of_arrays_in_memory(folder):
    numbered = InMemory([folder.read(i) for i in range(len(folder))])
    arrays = Arrays(np.zeros((len(folder), 16, 16, 3), np.uint8), np.arange(len(folder), dtype=np.int32))
    theirs = tfdata.train_batches(arrays, Chain((Member("flip", Flip()),)), seed=5, batch_size=6)
    for ours, batch in zip(take(15, numbered, SOFT), theirs, strict=False):  # over two epochs
        np.testing.assert_array_equal(ours["label"], batch["label"])
        np.testing.assert_array_equal(ours["flip"], batch["flip"])


def pillow(data, box, size):
    """What a box inside the image shows."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    edges = np.array(box, float)[[1, 0, 3, 2]] * np.tile(picture.size, 2)
    edges = np.clip(edges, 0, np.tile(picture.size, 2))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=tuple(edges))).astype(int)


def test_the_device_s_flip_restores_what_the_box_shows(folder):
    """The box is of the flipped image: flipping the file's pixels, then cutting, is what flipping the cut gives."""
    numbered = InMemory([folder.read(i) for i in range(len(folder))])
    flipped = 0
    for batch in take(8, numbered, HARD):
        for image, index, flip, box in zip(*(batch[n] for n in ("image", "label", "flip", "crop")), strict=True):
            ours = image[:, ::-1] if flip else image
            picture = Image.open(io.BytesIO(numbered.files[index])).convert("RGB")
            if flip:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            file = io.BytesIO()
            picture.save(file, "PNG")
            assert np.abs(ours - pillow(file.getvalue(), box, 16)).max() <= 2
            flipped += flip
    assert 10 < flipped < 38


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_soft_box_and_its_pixels_agree_about_what_is_outside(flip):
    white = InMemory([encode(np.full((30, 50, 3), 255, np.uint8), "PNG")] * 40)
    chain = Chain((Member("flip", Flip(flip)), NORMALIZE, Member("crop", SoftWindow())))
    places = (np.arange(16) + 0.5) / 16
    for batch in take(7, white, chain):
        for image, (y0, x0, y1, x1) in zip(batch["image"], batch["crop"].astype(float), strict=True):
            image = image[:, ::-1] if flip else image
            shown = image[..., 0] == 255
            for hair, compare in ((0.0, np.greater_equal), (2e-3 / 16, np.less_equal)):  # at the edge the host fills
                inside = [
                    (start + places * side >= -hair * side) & (start + places * side <= 1 + hair * side)
                    for start, side in ((y0, y1 - y0), (x0, x1 - x0))
                ]
                assert compare(shown, np.outer(*inside)).all()


def drawn_boxes(chain, size, steps=20, batch_size=1000):
    """The boxes alone, with the files' decoding left out."""
    images = InMemory([encode(np.zeros((*size, 3), np.uint8), "PNG")])
    return np.concatenate([b["crop"] for b in take(steps, images, chain, batch_size=batch_size, size_px=1)])


@pytest.mark.parametrize("size", [(30, 40), (8, 8)])
def test_soft_boxes_are_distributed_as_the_device_s(size):
    host = drawn_boxes(SOFT, size, steps=4)
    device = np.asarray(crops.sample_boxes(jax.random.key(0), (4000,), size=size))
    from scipy import stats

    for edge in range(4):
        assert stats.ks_2samp(host[:, edge], device[:, edge]).pvalue > 1e-3
    visible = [np.asarray(crops.box_visibility(boxes)) for boxes in (host, device)]
    assert stats.ks_2samp(*visible).pvalue > 1e-3
    np.testing.assert_allclose(np.corrcoef(host.T), np.corrcoef(device.T), atol=0.06)


@pytest.mark.parametrize("size", [(40, 60), (60, 20)])
def test_hard_boxes_are_distributed_as_the_resized_crop_s(size):
    window = HardWindow()
    host = drawn_boxes(Chain((Member("crop", window),)), size, steps=4) * np.tile(size, 2)
    np.testing.assert_allclose(host, np.round(host), atol=1e-3)  # whole pixels
    device = np.asarray(ResizedCrop(window.scale, window.ratio).sample(jax.random.key(1), 4000, size))
    for edge in range(4):
        ours, theirs = (
            np.cumsum(np.bincount(np.round(boxes[:, edge]).astype(int), minlength=61)) / 4000
            for boxes in (host, device)
        )
        assert np.abs(ours - theirs).max() < 0.045  # Kolmogorov-Smirnov: about once in 2,000


@pytest.mark.parametrize("start", [1, 5, 100_000, 2**33])
def test_any_step_is_reached_at_once(start, folder):
    if start < 10:
        whole = take(start + 2, folder, SOFT)[start:]
    else:
        whole = [take(1, folder, SOFT, start_step=start + i)[0] for i in range(2)]
    assert_same(take(2, folder, SOFT, start_step=start), whole)


@pytest.mark.parametrize("chain", [SOFT, HARD])
def test_the_processes_parts_make_the_whole_batch(chain, folder):
    whole = take(3, folder, chain)
    parts = [take(3, folder, chain, process_index=i, process_count=3, num_threads=1) for i in range(3)]
    joined = [
        {name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in zip(*parts, strict=True)
    ]
    assert_same(whole, joined)


def test_seeds_and_steps_draw_apart(folder):
    batches = take(2, folder, SOFT) + take(1, folder, SOFT, seed=6)
    for a, b in itertools.combinations(batches, 2):
        assert (a["crop"] != b["crop"]).all() and (a["image"] != b["image"]).any()


def test_from_its_last_step_on_a_window_gives_way_to_the_evaluation_s(folder):
    chain = Chain((Member("flip", Flip(0.0)), NORMALIZE, Member("crop", SoftWindow(), until_step=2)))
    switched, always, none = (take(4, folder, c) for c in (chain, SOFT, Chain((NORMALIZE,))))
    for step in range(4):
        same = {1: always, 0: none}[step < 2][step]["image"]
        other = {0: always, 1: none}[step < 2][step]["image"]
        assert switched[step]["image"].shape == same.shape
        unflipped = ~always[step]["flip"]
        if step >= 2:
            difference = switched[step]["image"].astype(int) - none[step]["image"]
            assert np.abs(difference).max() <= 1  # its box has been rounded to single precision
        else:
            np.testing.assert_array_equal(switched[step]["image"][unflipped], always[step]["image"][unflipped])
            assert (same != other).any()


@pytest.mark.parametrize("skip", [True, False])
def test_evaluation_of_every_file_once(test_folder, skip):
    batches = EvalImages(test_folder, 8, sharding.over().batch, 28, 32, num_threads=2, skip_unreadable=skip)
    assert len(batches) == 3
    for _ in range(2):  # can be read again
        seen = [jax.device_get(batch) for batch in batches]
        assert [len(batch["label"]) for batch in seen] == [8, 8, 8]
        joined = {name: np.concatenate([batch[name] for batch in seen]) for name in seen[0]}
        np.testing.assert_array_equal(joined["index"], np.arange(24))
        np.testing.assert_array_equal(joined["mask"], np.arange(24) < 19)
        np.testing.assert_array_equal(joined["label"][:19], test_folder.labels)
        np.testing.assert_array_equal(joined["image"][19:], joined["image"][:5])
        for i in range(19):
            picture = Image.open(test_folder.name(i)).convert("RGB")
            short = min(picture.size)
            size = tuple(int(32 * edge / short) for edge in picture.size)
            left, top = (round((edge - 28) / 2) for edge in size)
            resized = picture.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 28, top + 28))
            assert np.abs(joined["image"][i] - np.asarray(resized).astype(int)).max() <= 1
    assert len(batches.unreadable) == 0


def test_only_the_batches_under_way_are_held(rng):
    """However many there are in the set: what has been read is a few batches ahead of what was asked for."""
    data = encode(pixels(rng, 20, 20), "PNG")
    reads = []

    class Watched(InMemory):
        def read(self, index):
            reads.append(index)
            return data

    batches = train_batches(Watched([b""] * 1000), HARD, **OPTIONS)
    for done in range(1, 9):
        next(batches)
        assert len(reads) <= (done + image_filling.PREFETCH_BATCHES) * 6
    batches.close()


def test_closing_ends_the_threads(folder):
    import threading

    batches = train_batches(folder, SOFT, **OPTIONS)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 7, "process_count": 2}, "batch_size = 7 does not divide over 2 processes"),
        ({"start_step": -1}, "start_step = -1"),
        ({"size_px": 0}, "size_px = 0"),
        ({"num_threads": 0}, "num_threads = 0"),
    ],
)
def test_wrong_arguments(options, expected, folder):
    with pytest.raises(ValueError, match=expected):
        take(1, folder, SOFT, **options)


def test_wrong_chains(folder):
    two = Chain((Member("crop", SoftWindow()), Member("other", HardWindow())))
    with pytest.raises(UsageError, match="crop and other both cut"):
        take(1, folder, two)
    with pytest.raises(ValueError, match="sigma = 0"):
        take(1, folder, Chain((Member("crop", SoftWindow(0)),)))
    with pytest.raises(ValueError, match="scale"):
        take(1, folder, Chain((Member("crop", HardWindow((0.5, 2.0))),)))


def test_threads_by_default():
    assert image_filling.default_threads() == len(os.sched_getaffinity(0))
