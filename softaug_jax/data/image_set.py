"""What a set of image files on disk is, and where one is looked for."""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from softaug_jax.checks import UsageError, check_choice, one_line
from softaug_jax.data.info import INFO
from softaug_jax.data.sources import SPLITS, resolve_data_dir
from softaug_jax.paths import is_in_bucket

V2_CLASS = re.compile(r"[0-9]+|n[0-9]{8}")  # what ImageNet-V2's folders are called; a folder of data sets has others
FOLDERS = {"train": ("train",), "test": ("val", "validation")}  # what the splits' folders are called


class ImageSet(Protocol):
    """Images of any size, still encoded, and read at random; labels in memory or mapped from a file."""

    labels: np.ndarray  # int32 [n]

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes:
        """The bytes of an image file; OSError if it can't be read."""
        ...

    def name(self, index: int) -> str:
        """What messages call the image."""
        ...

    def digest(self) -> dict[str, str]:
        """What the set is, in few words, so that several processes can see whether they have the same one."""
        ...


def set_digest(labels: np.ndarray, names: np.ndarray) -> dict[str, str]:
    """The count, and checksums of the labels and of what tells the images apart."""
    crc = lambda values: f"crc32 {zlib.crc32(np.ascontiguousarray(values).data):08x}"
    return {"count": str(len(labels)), "labels": crc(labels), "names": crc(names)}


def open_set(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None,
    num_classes: int,
    *,
    download: bool = False,
) -> ImageSet:
    """Opens one split of a set of image files: from folders of files, or from what TensorFlow Datasets has prepared.

    Folders are `<data_dir>/train` and `<data_dir>/val` with a folder for each class, and `data_dir` may name the first
    itself. ImageNet-V2, which has a test split only, is one folder of class folders, numbered or named as ImageNet's:
    `data_dir` itself, or the only `imagenetv2-*` in it. Where there are none, TFDS is asked for these three.

    Args:
      name: "imagenet", "imagenet_v2", "imagenette", or another set of image files that `data/info.py` describes.
      split: "train" or "test" (ImageNet's validation images).
      data_dir: where the folders or TFDS's sets are; None or "" means $TFDS_DATA_DIR, else ~/tensorflow_datasets.
      num_classes: how many class folders there must be.
      download: lets TFDS download a set that is not prepared (not ImageNet, which needs an account).

    Returns:
      The set; neither opening nor keeping it takes memory that grows with it.

    Raises:
      UsageError: if the set is missing, can't be read, or has another number of classes.
    """
    check_choice("data set", name, [*(own for own, about in INFO.items() if about.encoded), "imagenet_v2"])
    field = "config.data.v2_dir" if name == "imagenet_v2" else "config.data.dir"
    check_choice("split", split, SPLITS)
    if name == "imagenet_v2" and split == "train":
        raise UsageError("imagenet_v2 has no training images. Use the split 'test'.")
    from softaug_jax.data import record_files  # these import this module
    from softaug_jax.data.image_folder import ImageFolder

    try:
        directory = resolve_data_dir(data_dir)
        if is_in_bucket(directory):
            raise UsageError(
                f"{field} = {str(data_dir)!r}: images are read one by one, which a bucket is too slow for. Copy "
                f"{name} to this machine (gcloud storage cp --recursive), or mount the bucket with gcsfuse."
            )
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(directory)  # what is wrong with it shows here and not deep inside TFDS
        folder = _find_folder(name, split, directory)
    except UsageError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # no permission, no such user, a null byte
        raise UsageError(f"{field} = {str(data_dir)!r} can't be looked into ({one_line(error)}).") from error
    if folder is None:
        return record_files.open_prepared(name, split, directory, num_classes, download=download)
    _check_classes(folder, name, num_classes)
    return ImageFolder(folder)


def _find_folder(name: str, split: str, directory: Path) -> Path | None:
    """The folder of class folders, or None."""
    from softaug_jax.data.image_folder import class_folders

    if name == "imagenet_v2":
        published = sorted(path for path in directory.glob("imagenetv2-*") if path.is_dir())
        if len(published) > 1:
            listed = ", ".join(path.name for path in published)
            raise UsageError(
                f"{directory} has several versions of ImageNet-V2 ({listed}). Name one in config.data.v2_dir."
            )
        if published:
            return published[0]
        classes = class_folders(directory) if directory.is_dir() else []
        return directory if any(V2_CLASS.fullmatch(name) for name in classes) else None
    parents = (directory, directory.parent) if directory.name == "train" else (directory,)
    for parent in parents:
        for folder in FOLDERS[split]:
            if (parent / folder).is_dir():
                return parent / folder
    return None


def _check_classes(folder: Path, name: str, num_classes: int) -> None:
    """Raises UsageError unless the folder has as many class folders as there are classes."""
    from softaug_jax.data.image_folder import class_folders

    found = class_folders(folder)
    if len(found) != num_classes:
        shown = f" ({', '.join(found[:3])} ...)" if found else ""
        raise UsageError(
            f"{folder} has {len(found)} class folders{shown}, and {name} has {num_classes} classes. It must hold one "
            "folder for each class, with the class's images in it; a set of your own is an entry in data/info.py."
        )
