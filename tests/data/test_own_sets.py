"""A data set of one's own: an entry of INFO, a file or folders, and a config that names it, as README says."""

import jax
import numpy as np
import pytest

from configs import common, imagenet
from softaug_jax.checks import UsageError
from softaug_jax.data.image_set import open_set
from softaug_jax.data.info import INFO
from softaug_jax.data.sources import load
from softaug_jax.train import setup
from softaug_jax.train.validate import validate
from tests.data.made_images import make_folders

ARRAYS = INFO["cifar10"]._replace(
    name="mine",
    num_classes=3,
    image_size=(12, 10),
    channels=1,
    mean=(0.5,),
    std=(0.2,),
    class_names=("a", "b", "c"),
    num_train=40,
    num_test=20,
    url="",
)
FILES = INFO["imagenette"]._replace(name="mine", num_classes=4, class_names=(), num_train=40, num_test=20, url="")


@pytest.fixture
def arrays(monkeypatch, rng):
    monkeypatch.setitem(INFO, "mine", ARRAYS)
    of = lambda n: (rng.integers(0, 256, (n, 12, 10, 1), dtype=np.uint8), rng.integers(0, 3, n))
    return dict(zip(("train_images", "train_labels", "test_images", "test_labels"), (*of(40), *of(20)), strict=True))


def test_arrays_are_read_and_a_config_that_names_them_builds(tmp_path, arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    images, labels = load("mine", "train", tmp_path)
    np.testing.assert_array_equal(images, arrays["train_images"])
    np.testing.assert_array_equal(labels, arrays["train_labels"])
    config = common.soft("mine_sa", "mine", common.parse_arg("", **common.ARGUMENTS, mode="target"))
    config.batch_size = 8
    validate(config, num_devices=1)
    parts = setup.build(config)
    assert parts.schedule.num_train == 40
    logits = jax.eval_shape(lambda: parts.predict(parts.initial_state(), np.zeros((2, 12, 10, 1), np.float32)))
    assert logits.shape == (2, 3)


def test_what_the_file_must_hold_is_said(tmp_path, arrays):
    with pytest.raises(UsageError, match=r"mine is not in .*no mine.npz. Write it with .* uint8 \[n, 12, 10, 1\]"):
        load("mine", "train", tmp_path)
    del arrays["train_labels"]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UsageError, match=r"mine.npz has no array train_labels. Write it with numpy.savez"):
        load("mine", "train", tmp_path)


def test_folders_are_read_and_a_config_that_names_them_is_valid(tmp_path, monkeypatch):
    monkeypatch.setitem(INFO, "mine", FILES)
    with pytest.raises(UsageError, match=r"mine is not in .*: train/ and val/ with a folder for each class"):
        open_set("mine", "train", tmp_path, 4)
    root = make_folders(tmp_path / "mine", train=40, test=20)
    assert (len(open_set("mine", "train", root, 4)), len(open_set("mine", "test", root, 4))) == (40, 20)
    args = common.parse_arg("dataset=mine", **imagenet.ARGUMENTS, mode="target")
    config = imagenet.soft("mine_sa", args)
    config.batch_size = 8
    validate(config, num_devices=1)
