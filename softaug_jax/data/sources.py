"""Whole data sets as arrays: digits from scikit-learn, others from an .npz file, CIFAR from TFDS as well."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softaug_jax.checks import UsageError, one_line
from softaug_jax.data.info import DatasetInfo, info
from softaug_jax.data.tf_import import INSTALL, quiet, tensorflow, tfds
from softaug_jax.paths import path_of

SPLITS = ("train", "test")
ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}  # of what TFDS has, too


class Arrays(NamedTuple):
    """One split of a data set, in memory."""

    images: np.ndarray  # uint8 [n, H, W, C]
    labels: np.ndarray  # int32 [n]


def load(name: str, split: str, data_dir: str | os.PathLike | None = None, *, download: bool = False) -> Arrays:
    """Reads one split of a data set.

    A set is read from `<data_dir>/<name>.npz` if that exists (no TensorFlow needed), and else, if it is CIFAR, from
    what TensorFlow Datasets prepared in `data_dir`. The order is the stored one, which in TFDS is shuffled.

    Args:
      name: "cifar10", "cifar100", "digits", or another one that `data/info.py` describes.
      split: "train" or "test".
      data_dir: where prepared sets are; None or "" means $TFDS_DATA_DIR, else ~/tensorflow_datasets.
      download: lets TFDS download a set that is not prepared, where its home page can be reached.

    Returns:
      Images, uint8 [n, H, W, C], and labels, int32 [n].

    Raises:
      UsageError: if the name or split is unknown, or the set is missing, unreadable or damaged.
    """
    facts = info(name)
    if split not in SPLITS:
        raise UsageError(f"The split {split!r} is unknown. Choose from {', '.join(SPLITS)}.")
    if facts.encoded:
        raise UsageError(
            f"{name} is a set of image files, which do not fit into memory; only the host loader reads it."
        )
    if name == "digits":
        return _load_digits(split)
    try:
        directory = resolve_data_dir(data_dir)
        npz = directory / f"{name}.npz"
        is_stored = _exists(npz)
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no such user, a null byte
        raise UsageError(f"config.data.dir = {str(data_dir)!r} can't be looked into ({one_line(error)}).") from error
    if is_stored:
        return _load_npz(npz, split, facts)
    if name not in ARCHIVES:
        raise UsageError(f"{name} is not in {directory}: there is no {name}.npz. {_own(facts)}")
    return _load_tfds(facts, split, directory, download)


def first_of_each_class(arrays: Arrays, about: DatasetInfo, number: int) -> Arrays:
    """The first so many images of each class, in the order in which they are stored.

    Raises:
      UsageError: if a class has fewer.
    """
    members = [np.flatnonzero(arrays.labels == label) for label in range(about.num_classes)]
    for label, indices in enumerate(members):
        if len(indices) < number:
            raise UsageError(
                f"config.data.images_per_class = {number}, but {about.name} has {len(indices)} training images of "
                f"{about.class_name(label)}. Use at most {min(map(len, members))}, or 0 for all."
            )
    chosen = np.sort(np.concatenate([indices[:number] for indices in members]))
    return Arrays(arrays.images[chosen], arrays.labels[chosen])


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def resolve_data_dir(data_dir: str | os.PathLike | None) -> Path:
    """Returns `data_dir`, or where TensorFlow Datasets looks when it is None or empty."""
    return path_of(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepare_command(name: str, directory: Path, options: str = "") -> str:
    """Returns the command that prepares the data set `name` in `directory`."""
    return f"python -m softaug_jax.data.prepare {name} --archive={ARCHIVES[name]} --data_dir={directory}{options}"


def _load_digits(split: str) -> Arrays:
    from sklearn.datasets import load_digits  # late: it takes a second

    digits = load_digits()
    labels = digits.target.astype(np.int32)
    # The file is ordered by writer, and its last fifth comes from writers that the rest does not show. We draw the test
    # set from all of it, so that both splits have the same writers and class shares and a demo's error is about the
    # method; the last 360 as a test set would mostly measure new handwriting. RandomState's stream never changes.
    order = np.random.RandomState(0).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    is_test = np.zeros(len(labels), bool)
    is_test[by_class[::5]] = True
    chosen = is_test if split == "test" else ~is_test
    images = np.rint(digits.images[chosen] * (255.0 / 16.0)).astype(np.uint8)
    return Arrays(images[..., None], labels[chosen])


def _load_npz(path: Path, split: str, facts: DatasetInfo) -> Arrays:
    keys = (f"{split}_images", f"{split}_labels")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = [key for key in keys if key not in stored]
            if missing:
                raise UsageError(f"{path} has no array {', '.join(missing)}. {_again(path, facts)}")
            images, labels = (stored[key] for key in keys)
    except UsageError:
        raise
    except Exception as error:  # a damaged file raises nearly anything: zip, zlib, OS, value, memory errors
        raise UsageError(f"{path} can't be read ({one_line(error)}). {_again(path, facts)}") from error
    return checked_arrays(images, labels, facts, f"{path} ({split})")


def checked_arrays(images: np.ndarray, labels: np.ndarray, facts: DatasetInfo, where: str) -> Arrays:
    """Returns the arrays as `Arrays`; raises UsageError if they are not what the data set's facts say."""
    shape = (*facts.image_size, facts.channels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        found = f"{images.dtype} {list(images.shape)}"
        raise UsageError(f"{where}: the images are {found}; they must be uint8 [n, {', '.join(map(str, shape))}].")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        found = f"{labels.dtype} {list(labels.shape)}"
        raise UsageError(f"{where}: the labels are {found}; they must be integers [{len(images)}].")
    if labels.min() < 0 or labels.max() >= facts.num_classes:
        found = f"{labels.min()} to {labels.max()}"
        raise UsageError(f"{where}: the labels are {found}; they must be in 0 to {facts.num_classes - 1}.")
    return Arrays(images, labels.astype(np.int32))


def _load_tfds(facts: DatasetInfo, split: str, directory: Path, download: bool) -> Arrays:
    try:
        tensorflow()
        datasets = tfds()
    except UsageError as error:
        raise UsageError(
            f"{facts.name} is not in {directory}: there is no {facts.name}.npz, and to look for a set of TensorFlow "
            f"Datasets, {INSTALL} is needed first; or, without TensorFlow: "
            f"{prepare_command(facts.name, directory, ' --format=npz')}"
        ) from error
    with quiet():
        builder = datasets.builder(facts.name, data_dir=str(directory))
        is_prepared = builder.is_prepared()
    if not is_prepared:  # asked first because download_and_prepare hangs for minutes without a network
        if not download:
            raise UsageError(
                f"{facts.name} is not prepared: neither {directory / facts.name}.npz nor {builder.data_path} is there. "
                f"Get the archive from {facts.url}, then: {prepare_command(facts.name, directory)} "
                "(or have main.py download it by TensorFlow Datasets, with --config.data.download=True)"
            )
        _download(builder, facts, directory)
    try:
        wanted = datasets.decode.PartialDecoding({"image": True, "label": True})
        with quiet():
            stored = datasets.as_numpy(builder.as_dataset(split=split, batch_size=-1, decoders=wanted))
        images, labels = stored["image"], stored["label"]
    except Exception as error:  # TensorFlow's own error types, and TFDS's, for missing and damaged files
        raise UsageError(
            f"{builder.data_path} can't be read ({one_line(error)}). Remove it and prepare {facts.name} again: "
            f"{prepare_command(facts.name, directory)}"
        ) from error
    return checked_arrays(images, labels, facts, f"{builder.data_path} ({split})")


def _download(builder: Any, facts: DatasetInfo, directory: Path) -> None:
    host = urllib.parse.urlsplit(facts.url).hostname or ""
    try:
        if not urllib.request.getproxies():  # behind a proxy only the download itself can tell
            socket.create_connection((host, 443), timeout=5).close()  # TFDS would try for minutes
        with quiet():
            builder.download_and_prepare()
    except Exception as error:  # network, checksum and disk errors have no common type
        raise UsageError(
            f"{facts.name} is not prepared: neither {directory / facts.name}.npz nor {builder.data_path} is there, and "
            f"it could not be downloaded ({one_line(error)}). Get the archive from {facts.url}, then: "
            f"{prepare_command(facts.name, directory)}"
        ) from error


def _own(facts: DatasetInfo) -> str:
    shape = ", ".join(map(str, (*facts.image_size, facts.channels)))
    return (
        f"Write it with numpy.savez: train_images and test_images, uint8 [n, {shape}], train_labels and test_labels, "
        "integers [n]; or name its folder by --config.data.dir."
    )


def _again(path: Path, facts: DatasetInfo) -> str:
    if facts.name not in ARCHIVES:
        return _own(facts)
    return f"Remove it and write it again: {prepare_command(facts.name, path.parent, ' --format=npz')}"
