"""Reads the official CIFAR archives, in memory, and trusts nothing in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from softaug_jax.checks import UsageError, one_line
from softaug_jax.data import pickles
from softaug_jax.data.info import CIFAR100_COARSE_CLASSES, info
from softaug_jax.data.sources import Arrays, checked_arrays

PIXELS = 3 * 32 * 32
MAX_UNPACKED_BYTES = 1 << 30  # five times an official archive; what unpacks to more is not one


class Layout(NamedTuple):
    """How one official archive stores its records."""

    name: str  # of the data set
    form: str  # "binary" or "python"
    train_members: tuple[str, ...]
    test_members: tuple[str, ...]
    train_records: int  # in each train member
    label_keys: tuple[str, ...]  # in the order of the binary record; the one to train on is last
    md5: str  # of the official file

    @property
    def members(self) -> tuple[str, ...]:
        return self.train_members + self.test_members


class Archive(NamedTuple):
    """What an archive holds."""

    layout: Layout
    is_official: bool  # its checksum is that of the official file
    train: Arrays
    test: Arrays
    train_coarse: np.ndarray | None  # int32 [n], the superclasses of CIFAR-100
    test_coarse: np.ndarray | None


def _numbered(suffix: str) -> tuple[str, ...]:
    return tuple(f"data_batch_{i}{suffix}" for i in range(1, 6))


TEST_RECORDS = 10_000
LAYOUTS = (
    Layout(
        name="cifar10",
        form="binary",
        train_members=_numbered(".bin"),
        test_members=("test_batch.bin",),
        train_records=10_000,
        label_keys=("labels",),
        md5="c32a1d4ab5d03f1284b67883e8d87530",
    ),
    Layout(
        name="cifar10",
        form="python",
        train_members=_numbered(""),
        test_members=("test_batch",),
        train_records=10_000,
        label_keys=("labels",),
        md5="c58f30108f718f92721af3b95e74349a",
    ),
    Layout(
        name="cifar100",
        form="binary",
        train_members=("train.bin",),
        test_members=("test.bin",),
        train_records=50_000,
        label_keys=("coarse_labels", "fine_labels"),
        md5="03b5dce01913d631647c71ecec9e9cb8",
    ),
    Layout(
        name="cifar100",
        form="python",
        train_members=("train",),
        test_members=("test",),
        train_records=50_000,
        label_keys=("coarse_labels", "fine_labels"),
        md5="eb9058c3a382ffc7106e4002c42a8d85",
    ),
)

Progress = Callable[[int], object]  # called with the bytes of a member, once it is read


def read_archive(
    path: str | os.PathLike,
    name: str,
    *,
    expect_official_counts: bool = True,
    progress: Progress | None = None,
) -> Archive:
    """Reads an official CIFAR archive, binary or python, told apart by what is inside and not by the file's name.

    Nothing is written to disk, and a pickle inside can run nothing.

    Args:
      path: a .tar.gz file.
      name: "cifar10" or "cifar100", the data set that it should hold.
      expect_official_counts: demands the official number of records in each member; otherwise at most so many.
      progress: called after each member.

    Returns:
      The training and test arrays, in the stored order.

    Raises:
      UsageError: if the file is missing, damaged, hostile, or another archive; one line with the file and the problem.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        layout, contents = _read_members(path, name, progress)
    except UsageError:
        raise
    except Exception as error:  # damaged archives raise tar, gzip, zlib, end-of-file, OS, value and overflow errors
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else one_line(error)
        raise UsageError(f"{path} can't be read as a .tar.gz archive: {reason}.") from error
    parsed = [_parse(path, layout, member, contents.pop(member), expect_official_counts) for member in layout.members]
    train, train_coarse = _joined(parsed[:-1], layout, f"{path} (train)")
    test, test_coarse = _joined(parsed[-1:], layout, f"{path} (test)")
    return Archive(layout, md5 == layout.md5, train, test, train_coarse, test_coarse)


class _LimitedGzip(gzip.GzipFile):
    """A gzip file that refuses to unpack more than a CIFAR archive could hold."""

    def read(self, size: int | None = -1) -> bytes:
        self._check(self.tell() + max(size or 0, 0))
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        if position > MAX_UNPACKED_BYTES:
            limit = f"{MAX_UNPACKED_BYTES >> 20} MiB"
            raise UsageError(f"{self.name} unpacks to more than {limit}: it is no CIFAR archive.")


def _read_members(path: Path, name: str, progress: Progress | None) -> tuple[Layout, dict[str, bytes]]:
    """Returns the archive's layout, and the bytes of each member that the layout has."""
    known = {member: layout for layout in LAYOUTS for member in layout.members}
    contents: dict[str, bytes] = {}
    seen: list[str] = []
    with _LimitedGzip(path, "rb") as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as tar:
        for entry in tar:
            member = PurePosixPath(entry.name).name
            seen.append(member)
            if entry.name.startswith("/") or ".." in PurePosixPath(entry.name).parts:
                raise UsageError(f"{path}: the member {entry.name[:80]!r} points outside the archive.")
            if member not in known or entry.isdir():
                continue
            if member in contents:
                raise UsageError(f"{path} holds {member} twice.")
            contents[member] = _member_bytes(path, tar, entry, known[member])
            if progress:
                progress(entry.size)
        while unpacked.read(1 << 20):  # to the end, where gzip's checksum is
            pass
    return _recognised(path, name, contents, seen), contents


def _member_bytes(path: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo, layout: Layout) -> bytes:
    records = max(layout.train_records, TEST_RECORDS)
    # A python batch also holds file names and pickle codes: under 40 bytes a record in the official ones.
    limit = records * (PIXELS + len(layout.label_keys)) if layout.form == "binary" else records * 2 * PIXELS + (1 << 20)
    if not entry.isreg() or entry.issparse():
        raise UsageError(f"{path}: the member {entry.name} is not a plain file.")
    if entry.size > limit:
        raise UsageError(f"{path}: the member {entry.name} has {entry.size} bytes, more than the official one.")
    stream = tar.extractfile(entry)
    data = stream.read() if stream else b""
    if len(data) != entry.size:
        raise UsageError(f"{path}: the member {entry.name} is truncated.")
    return data


def _recognised(path: Path, name: str, contents: dict[str, bytes], seen: list[str]) -> Layout:
    """Returns the layout that the members belong to; raises UsageError if it is incomplete, or another data set's."""
    layout = max(LAYOUTS, key=lambda candidate: sum(member in contents for member in candidate.members))
    missing = [member for member in layout.members if member not in contents]
    if len(missing) == len(layout.members):
        held = ", ".join(seen[:5])[:120] or "nothing"
        raise UsageError(f"{path} is not a CIFAR archive: it holds {held}.")
    if layout.name != name:
        raise UsageError(f"{path} is an archive of {layout.name}, not of {name}.")
    if missing:
        raise UsageError(f"{path} is incomplete: the {layout.form} archive of {name} also has {', '.join(missing)}.")
    return layout


def _parse(
    path: Path, layout: Layout, member: str, data: bytes, expect_official_counts: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one member's images, uint8 [n, 32, 32, 3], and its labels, int32 [n, 1 or 2]."""
    where = f"{path}: {member}"
    read = _parse_binary if layout.form == "binary" else _parse_python
    pixels, labels = read(where, layout, data)
    official = layout.train_records if member in layout.train_members else TEST_RECORDS
    if len(pixels) > official or len(pixels) == 0 or (expect_official_counts and len(pixels) != official):
        raise UsageError(f"{where} holds {len(pixels)} records; the official one has {official}.")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _parse_binary(where: str, layout: Layout, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    num_labels = len(layout.label_keys)
    record = num_labels + PIXELS
    if len(data) % record:
        raise UsageError(f"{where} has {len(data)} bytes, which is not a multiple of the {record} bytes of a record.")
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    return records[:, num_labels:], records[:, :num_labels].astype(np.int32)


def _parse_python(where: str, layout: Layout, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = pickles.load_batch(data)
    except pickles.UnsafePickleError as error:
        message = f"{where} is no CIFAR batch: its pickle asks for {one_line(error)}, which was not run."
        raise UsageError(message) from error
    except Exception as error:  # a damaged pickle raises nearly any type
        raise UsageError(f"{where} is a damaged pickle ({one_line(error)}).") from error
    missing = [key for key in ("data", *layout.label_keys) if key not in batch]
    if missing:
        raise UsageError(f"{where} has no entry {', '.join(missing)}.")
    pixels = batch["data"]
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise UsageError(f"{where}: its data are not uint8 [n, {PIXELS}].")
    columns = [_label_column(where, key, batch[key], len(pixels)) for key in layout.label_keys]
    return pixels, np.stack(columns, axis=1)


def _label_column(where: str, key: str, values: Any, count: int) -> np.ndarray:
    if not isinstance(values, list) or len(values) != count:
        raise UsageError(f"{where}: its {key} are not a list of {count}, one for each image.")
    if not all(type(value) is int and 0 <= value < 256 for value in values):
        raise UsageError(f"{where}: its {key} are not all class numbers.")
    return np.array(values, np.int32)


def _joined(parts: list[tuple[np.ndarray, np.ndarray]], layout: Layout, where: str) -> tuple[Arrays, np.ndarray | None]:
    """Returns the members' records as one split, and the coarse labels if there are any."""
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    arrays = checked_arrays(images, labels[:, -1], info(layout.name), where)
    if len(layout.label_keys) == 1:
        return arrays, None
    coarse = labels[:, 0]
    if coarse.max() >= len(CIFAR100_COARSE_CLASSES):
        last = len(CIFAR100_COARSE_CLASSES) - 1
        raise UsageError(f"{where}: a coarse label is {coarse.max()}; they must be in 0 to {last}.")
    return arrays, coarse
