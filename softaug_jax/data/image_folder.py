"""A set of image files in one folder for each class, as ImageNet is most often kept."""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data.image_set import set_digest
from softaug_jax.data.index_files import cached_index

# By the ending of its name a file is an image of the set; others (archives, lists, hidden files) are not looked at.
# What is inside decides how it is decoded: a PNG may be called .JPEG.
EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder:
    """The files `<root>/<class folder>/<file>`, read one by one when they are asked for.

    Classes are numbered in the order of their folders' names; if all names are whole numbers, in the numbers' order,
    as in the published archives of ImageNet-V2. Files come in the order of their names, class after class.
    The list of files is made once and cached (`index_files`); it is made again when a class folder has changed.
    """

    def __init__(self, root: str | os.PathLike):
        """Finds the files.

        Raises:
          UsageError: if there is no such folder, or no image in it.
        """
        self.root = Path(root)
        self.classes = class_folders(self.root)
        changed = [os.stat(self.root / name).st_mtime_ns for name in self.classes]
        fingerprint = json.dumps([self.classes, changed, EXTENSIONS])
        index = cached_index(self.root, f"{zlib.crc32(fingerprint.encode()):08x}", self._list)
        self.labels: np.ndarray = index["labels"]  # int32 [n]
        self._starts, self._names = index["starts"], index["names"]

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> bytes:
        """The bytes of a file."""
        with open(self.name(index), "rb") as file:
            return file.read()

    def name(self, index: int) -> str:
        """The path of a file."""
        name = self._names[self._starts[index] : self._starts[index + 1]].tobytes()
        return os.path.join(self.root, self.classes[self.labels[index]], os.fsdecode(name))

    def digest(self) -> dict[str, str]:
        return set_digest(self.labels, self._names)

    def _list(self) -> Mapping[str, np.ndarray]:
        """All files: their labels, and their names one after the other with where each starts."""
        labels, starts, names = array("i"), array("q", [0]), bytearray()
        for label, folder in enumerate(self.classes):
            with os.scandir(self.root / folder) as entries:
                found = sorted(os.fsencode(e.name) for e in entries if is_image(e.name))
            for name in found:
                names += name
                starts.append(len(names))
            labels.extend([label] * len(found))
        if not labels:
            raise UsageError(
                f"{self.root} has {len(self.classes)} class folders and no image in them. "
                f"Images are files whose names end in {', '.join(EXTENSIONS)}."
            )
        return {
            "labels": np.array(labels, np.int32),
            "starts": np.array(starts, np.int64),
            "names": np.frombuffer(names, np.uint8),
        }


def is_image(name: str) -> bool:
    """Whether a file of this name counts."""
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def class_folders(root: Path) -> list[str]:
    """The names of the class folders, in the order of their labels; hidden ones do not count.

    Raises:
      UsageError: if `root` can't be listed, or two folders are the same number.
    """
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError as error:
        raise UsageError(
            f"{root} can't be listed ({error.strerror}). It must hold one folder for each class."
        ) from error
    if not all(name.isascii() and name.isdigit() for name in names):
        return sorted(names)
    if len({int(name) for name in names}) < len(names):
        raise UsageError(f"{root} has two class folders of the same number, such as 7 and 07. Rename or remove one.")
    return sorted(names, key=int)
