"""Random access to the images in the TFRecord files that TensorFlow Datasets prepares.

A file is a row of records: length (uint64), its checksum (uint32), the data, their checksum (uint32), all little
endian. The data are a `tf.train.Example`, a protocol buffer: a map from names to lists of bytes, floats or integers.
An index of where each image's own bytes lie is made once, by going from header to header; reading an image is then one
read of just those bytes. The records' checksums are not looked at: a damaged image shows when it is decoded.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softaug_jax.checks import UsageError, one_line
from softaug_jax.data.image_set import set_digest
from softaug_jax.data.index_files import cached_index
from softaug_jax.data.tf_import import quiet, tensorflow, tfds

HEADER_BYTES, TRAILER_BYTES = 12, 4

# Under what names TFDS has the sets, and their splits.
TFDS_NAMES = {"imagenet": "imagenet2012", "imagenet_v2": "imagenet_v2", "imagenette": "imagenette/320px-v2"}
TFDS_SPLITS = {
    "imagenet": {"train": "train", "test": "validation"},
    "imagenet_v2": {"test": "test"},
    "imagenette": {"train": "train", "test": "validation"},
}


class RecordFiles:
    """The examples of a list of TFRecord files, each with the features `image` (an image file) and `label`."""

    def __init__(self, folder: str | os.PathLike, files: Sequence[str], split: str = "train"):
        """Finds the examples.

        Args:
          folder: where the files are.
          files: their names, in order.
          split: in messages.

        Raises:
          UsageError: if a file is missing, cut off or holds something else.
        """
        self._folder, self._files, self._split = Path(folder), tuple(files), split
        try:
            stats = [os.stat(self._folder / name) for name in files]
        except OSError as error:
            raise UsageError(f"{error.filename} can't be read ({error.strerror}). Prepare the set again.") from error
        about = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in zip(files, stats, strict=True)]
        index = cached_index(self._folder / f"{split}.index", repr(about), self._find)
        self.labels: np.ndarray = index["labels"]  # int32 [n]
        self._shards, self._starts, self._lengths = index["shards"], index["starts"], index["lengths"]

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """The bytes of an image file."""
        shard, length = int(self._shards[index]), int(self._lengths[index])
        # Opened anew each time: a set may have more files than a process may hold open.
        with open(self._folder / self._files[shard], "rb", buffering=0) as file:
            data = os.pread(file.fileno(), length, int(self._starts[index]))
        if len(data) != length:
            raise OSError(f"{self._files[shard]} has become shorter")
        return data

    def name(self, index: int) -> str:
        """The file, and the image's number in it."""
        shard = int(self._shards[index])
        first = int(np.searchsorted(self._shards, shard))
        return f"{self._folder / self._files[shard]}, image {index - first}"

    def digest(self) -> dict[str, str]:
        return set_digest(self.labels, self._lengths)

    def _find(self) -> Mapping[str, np.ndarray]:
        """Where all images are, and their labels."""
        labels, shards, starts, lengths = array("i"), array("i"), array("q"), array("q")
        for shard, name in enumerate(self._files):
            for image in images_in(self._folder / name):
                labels.append(image.label)
                shards.append(shard)
                starts.append(image.start)
                lengths.append(image.length)
        if not labels:
            raise UsageError(f"{self._folder} has no examples of the split {self._split}. Prepare the set again.")
        return {
            "labels": np.array(labels, np.int32),
            "shards": np.array(shards, np.int32),
            "starts": np.array(starts, np.int64),
            "lengths": np.array(lengths, np.int32),
        }


class Place(NamedTuple):
    """Where an image's bytes lie in a file, and its label."""

    start: int
    length: int
    label: int


def images_in(path: Path) -> Iterator[Place]:
    """Walks through the records of a file; of the images' own bytes it reads none.

    Raises:
      UsageError: if the file is cut off, or its records are no examples with an image and a label.
    """
    if path.stat().st_size == 0:  # a shard may be empty, and nothing can't be mapped
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = 0
        while place < len(data):
            start = place + HEADER_BYTES
            stop = start + int.from_bytes(data[place : place + 8], "little")
            place = stop + TRAILER_BYTES
            if place > len(data):
                raise UsageError(f"{path} is cut off or damaged. Prepare the set again.")
            try:
                yield _image(data, start, stop)
            except (KeyError, IndexError, ValueError, StopIteration) as error:
                raise UsageError(
                    f"{path} can't be understood ({one_line(error)} in the record at byte {start}): it must hold "
                    "examples with the features image and label."
                ) from error


def _image(data: Any, start: int, stop: int) -> Place:
    """The place of the feature `image` of an Example, and the value of `label`."""
    found: dict[bytes, tuple[int, int]] = {}
    for features in _fields(data, start, stop):  # Example { Features features = 1 }
        for entry in _fields(data, *features[1:]):  # Features { map<string, Feature> feature = 1 }
            parts = {number: (first, last) for number, first, last in _fields(data, *entry[1:])}
            found[data[slice(*parts[1])]] = parts[2]
    # Feature { oneof BytesList = 1, FloatList = 2, Int64List = 3 }, each { repeated ... value = 1 }.
    kind, *values = next(_fields(data, *found[b"image"]))
    _, first, last = next(_fields(data, *values))
    if kind != 1:
        raise ValueError("image is no bytes")
    kind, *values = next(_fields(data, *found[b"label"]))
    _, begin, _ = next(_fields(data, *values))
    if kind != 3:
        raise ValueError("label is no integer")
    label = _varint(data, begin)[0]
    if label >= 1 << 31:  # TFDS has -1 for "unknown", which is a large number here
        raise ValueError("the label is unknown")
    return Place(first, last - first, label)


def _fields(data: Any, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a protocol buffer: each one's number, and where its contents begin and end."""
    while start < stop:
        tag, start = _varint(data, start)
        if tag & 7 == 0:  # an integer
            length = _varint(data, start)[1] - start
        elif tag & 7 == 2:  # so many bytes
            length, start = _varint(data, start)
        else:
            length = {1: 8, 5: 4}[tag & 7]
        if start + length > stop:
            raise ValueError("a field is longer than its record")
        yield tag >> 3, start, start + length
        start += length


def _varint(data: Any, place: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("an integer without end")


def open_prepared(name: str, split: str, directory: Path, num_classes: int, *, download: bool = False) -> RecordFiles:
    """Opens a set of image files that TFDS has prepared in `directory`; see `image_set.open_set`."""
    if name not in TFDS_NAMES:
        raise UsageError(f"{name} is not in {directory}: train/ and val/ with a folder for each class must be there.")
    wanted = TFDS_NAMES[name]
    try:
        tensorflow()
        datasets = tfds()
    except UsageError as error:
        raise UsageError(f"{_missing(name, directory)} To look for a set of TensorFlow Datasets: {error}") from error
    with quiet():
        builder = datasets.builder(wanted, data_dir=str(directory))
        is_prepared = builder.is_prepared()
    if not is_prepared:  # asked first because download_and_prepare hangs for minutes without a network
        if not download or name == "imagenet":
            raise UsageError(f"{_missing(name, directory)} {_remedy(name, directory)}")
        try:
            with quiet():
                builder.download_and_prepare()
        except Exception as error:  # network, checksum and disk errors have no common type
            reason = f"It could not be downloaded ({one_line(error)})."
            raise UsageError(f"{_missing(name, directory)} {reason} {_remedy(name, directory)}") from error
    about = builder.info
    if about.file_format is not None and about.file_format.value != "tfrecord":
        raise UsageError(
            f"{builder.data_path} is in the format {about.file_format.value}, which is not read here. Prepare the set "
            "again with file_format='tfrecord', the default of TensorFlow Datasets."
        )
    found = about.features["label"].num_classes
    if found != num_classes:
        raise UsageError(f"{builder.data_path} has {found} classes; {name} was expected to have {num_classes}.")
    files = about.splits[TFDS_SPLITS[name][split]].filenames
    return RecordFiles(builder.data_path, sorted(files), split)


def _missing(name: str, directory: Path) -> str:
    folders = "class folders" if name == "imagenet_v2" else "train/ and val/ with class folders"
    return f"{name} is not in {directory}: there are neither {folders} nor {directory / TFDS_NAMES[name]}."


def _remedy(name: str, directory: Path) -> str:
    if name == "imagenet":
        return (
            "Name the folder that holds train/ and val/ with --config.data.dir=DIR; or get ILSVRC2012_img_train.tar "
            "and ILSVRC2012_img_val.tar from https://image-net.org (free, with an account), put them into "
            f"{directory}/downloads/manual and have TensorFlow Datasets prepare them: "
            f"python -c \"import tensorflow_datasets as tfds; tfds.builder('imagenet2012', "
            f"data_dir='{directory}').download_and_prepare()\""
        )
    home = {
        "imagenet_v2": "https://huggingface.co/datasets/vaishaal/ImageNetV2",
        "imagenette": "https://github.com/fastai/imagenette",
    }[name]
    return f"Get it from {home} and unpack it there, or let TensorFlow Datasets do so: --config.data.download=True."
