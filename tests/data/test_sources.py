"""Loading whole data sets: what is read, and the one-line errors for what is not there or damaged."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from softaug_jax.checks import UsageError
from softaug_jax.data import sources, tf_import
from softaug_jax.data.info import CIFAR100_COARSE_CLASSES, INFO, info
from softaug_jax.data.sources import first_of_each_class, load


def write_npz(path, count=6, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 10, count)
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


def problem(data_dir, name="cifar10", split="train", **options):
    with pytest.raises(UsageError) as caught:
        load(name, split, data_dir, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", INFO)
def test_the_facts_fit_together(name):
    facts = info(name)
    assert facts.name == name
    assert len(facts.class_names) == len(set(facts.class_names))
    assert len(facts.class_names) in (facts.num_classes, 0 if facts.encoded else facts.num_classes)
    assert len({facts.class_name(label) for label in range(facts.num_classes)}) == facts.num_classes
    assert len(facts.mean) == len(facts.std) == facts.channels
    assert len(CIFAR100_COARSE_CLASSES) == 20


def test_an_unknown_name_or_split_lists_the_choices():
    with pytest.raises(UsageError, match="'cifar11' is unknown. Choose from cifar10, cifar100, digits"):
        load("cifar11", "train")
    with pytest.raises(UsageError, match="'valid' is unknown. Choose from train, test"):
        load("digits", "valid")


def test_digits_are_all_there_once():
    train, test = load("digits", "train"), load("digits", "test")
    facts = info("digits")
    assert train.images.shape == (facts.num_train, 8, 8, 1)
    assert test.images.shape == (facts.num_test, 8, 8, 1)
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    original = load_digits()
    wanted = sorted(
        (*row, label) for row, label in zip(np.rint(original.data * 255 / 16), original.target, strict=True)
    )
    images, labels = np.concatenate([train.images, test.images]), np.concatenate([train.labels, test.labels])
    assert sorted((*row, label) for row, label in zip(images.reshape(-1, 64), labels, strict=True)) == wanted


def test_digits_share_their_classes_and_their_writers():
    train, test = load("digits", "train"), load("digits", "test")
    assert np.abs(np.bincount(test.labels) - 36).max() <= 1
    order = [image.tobytes() for image in np.rint(load_digits().data * (255 / 16)).astype(np.uint8)]
    places = np.array([order.index(image.tobytes()) for image in test.images])
    assert 0.15 < (places >= 1437).mean() < 0.25  # the file's last fifth, of other writers, is a fifth of the test set
    assert len(train.labels) == 4 * len(test.labels) - 3


def test_the_first_of_each_class_are_those_in_their_order():
    train, about = load("digits", "train"), info("digits")
    few = first_of_each_class(train, about, 7)
    assert np.bincount(few.labels).tolist() == [7] * 10
    seen, wanted = [0] * 10, []
    for index, label in enumerate(train.labels):
        seen[label] += 1
        wanted += [index] if seen[label] <= 7 else []
    np.testing.assert_array_equal(few.images, train.images[wanted])
    np.testing.assert_array_equal(few.labels, train.labels[wanted])
    least = int(np.bincount(train.labels).min())
    words = f"images_per_class = 150, but digits has {len(train.labels[train.labels == 0])} training images of 0. "
    with pytest.raises(UsageError, match=f"{words}Use at most {least}, or 0 for all."):
        first_of_each_class(train, about, 150)
    assert len(first_of_each_class(train, about, least).labels) == 10 * least


def test_the_digits_mean_is_of_the_training_split():
    pixels = load("digits", "train").images / 255
    np.testing.assert_allclose(info("digits").mean, pixels.mean(), atol=5e-5)
    np.testing.assert_allclose(info("digits").std, pixels.std(), atol=5e-5)


def test_an_npz_is_read_without_tensorflow(tmp_path):
    arrays = write_npz(tmp_path / "cifar10.npz")
    code = (
        "import sys; from softaug_jax.data.sources import load; "
        f"print(load('cifar10', 'test', {str(tmp_path)!r}).labels.tolist(), 'tensorflow' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"{arrays['test_labels'].tolist()} False"
    train = load("cifar10", "train", tmp_path)
    np.testing.assert_array_equal(train.images, arrays["train_images"])
    np.testing.assert_array_equal(train.labels, arrays["train_labels"])
    assert train.labels.dtype == np.int32


def test_the_default_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    arrays = write_npz(tmp_path / "cifar10.npz")
    for data_dir in (None, ""):
        np.testing.assert_array_equal(load("cifar10", "train", data_dir).images, arrays["train_images"])
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert sources.resolve_data_dir(None) == Path.home() / "tensorflow_datasets"


WRONG_ARRAYS = {
    "missing": ({"train_labels": None}, "no array train_labels"),
    "float": ({"train_images": np.zeros((6, 32, 32, 3))}, "images are float64"),
    "shape": ({"train_images": np.zeros((6, 3, 32, 32), np.uint8)}, r"must be uint8 \[n, 32, 32, 3\]"),
    "empty": ({"train_images": np.zeros((0, 32, 32, 3), np.uint8)}, r"images are uint8 \[0, 32, 32, 3\]"),
    "count": ({"train_labels": np.zeros(5, int)}, r"integers \[6\]"),
    "not whole": ({"train_labels": np.zeros(6)}, "labels are float64"),
    "large": ({"train_labels": np.full(6, 10)}, "labels are 10 to 10; they must be in 0 to 9"),
    "negative": ({"train_labels": np.full(6, -1)}, "labels are -1 to -1"),
    "objects": ({"train_labels": np.array([None] * 6)}, "can't be read"),
}


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_a_wrong_npz_is_refused(tmp_path, case):
    changes, expected = WRONG_ARRAYS[case]
    write_npz(tmp_path / "cifar10.npz", **changes)
    with pytest.raises(UsageError, match=expected):
        load("cifar10", "train", tmp_path)
    assert str(tmp_path / "cifar10.npz") in problem(tmp_path)


def test_a_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "cifar10.npz"
    write_npz(path)
    whole = path.read_bytes()
    for end in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert "can't be read" in problem(tmp_path)
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 1  # a pixel: zip's checksum sees it
    path.write_bytes(flipped)
    assert "can't be read" in problem(tmp_path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    path.write_bytes((tmp_path / "one.npy").read_bytes())
    assert str(path) in problem(tmp_path)


@pytest.mark.parametrize(
    ("data_dir", "reason"),
    [("/x" * 3000, "File name too long"), ("/x\0y", "embedded null "), ("~no_such_user/x", "home directory")],
)
def test_a_folder_that_can_not_be_looked_into(data_dir, reason):
    message = problem(data_dir)
    assert message.startswith("config.data.dir = ") and reason in message


def test_a_folder_without_permission(tmp_path, monkeypatch):
    stat = Path.stat

    def refuse(path, **options):
        if path.suffix == ".npz":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    assert "can't be looked into ([Errno 13] Permission denied" in problem(tmp_path)


def test_a_missing_set_is_said_at_once(tmp_path):
    tf_import.tfds()  # the import is not what is timed
    start = time.perf_counter()
    message = problem(tmp_path, "cifar100")
    assert time.perf_counter() - start < 10
    assert f"{tmp_path}/cifar100.npz" in message and f"{tmp_path}/cifar100/3.0.2" in message
    command = "python -m softaug_jax.data.prepare cifar100 --archive=cifar-100-binary.tar.gz --data_dir="
    assert command + str(tmp_path) in message
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_noticed_before_tfds_tries(tmp_path, monkeypatch):
    def unreachable(address, timeout):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(sources.socket, "create_connection", unreachable)
    monkeypatch.setattr(sources.urllib.request, "getproxies", dict)
    message = problem(tmp_path, download=True)
    assert "could not be downloaded (Network is unreachable)" in message
    assert "softaug_jax.data.prepare cifar10" in message


@pytest.mark.parametrize("module", ["tensorflow", "tensorflow_datasets"])
def test_without_tensorflow_the_way_out_is_named(tmp_path, module):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from softaug_jax.data.sources import load\n"
        f"try: load('cifar10', 'train', {str(tmp_path)!r})\n"
        "except ValueError as error: print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'pip install "softaug_jax[data]"' in shown
    assert "--format=npz" in shown
    assert shown.count("\n") == 1
