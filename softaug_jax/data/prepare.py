"""Prepares CIFAR from an official archive that is already on disk. Touches no network.

python -m softaug_jax.data.prepare {cifar10,cifar100} --archive=FILE --data_dir=DIR [--format=tfds|npz]

Writes what `tfds.load(name, data_dir=DIR)` loads, or DIR/<name>.npz, which needs no TensorFlow. What it writes appears
at once when it is complete; an interrupted run leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command
from softaug_jax.data import archives
from softaug_jax.data.archives import Archive
from softaug_jax.data.info import CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_COARSE_CLASSES, info
from softaug_jax.data.sources import Arrays, load
from softaug_jax.data.tf_import import quiet, tfds
from softaug_jax.paths import local

NAMES = ("cifar10", "cifar100")


@as_command
def main(words: list[str]) -> int:
    """Runs the command and returns its exit code: 0, or 130 when interrupted."""
    args = _arguments(words)
    before = signal.signal(signal.SIGTERM, _interrupt)  # so that `kill` cleans up as Ctrl-C does
    try:
        prepare(args.name, args.archive, args.data_dir, args.format, allow_partial=args.allow_partial)
    except OSError as error:
        raise UsageError(str(error)) from None
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def prepare(
    name: str,
    archive: str | os.PathLike,
    data_dir: str | os.PathLike,
    form: str = "tfds",
    *,
    allow_partial: bool = False,
) -> None:
    """Writes the data set `name` from `archive` into `data_dir`, or says that it is there already.

    Args:
      name: "cifar10" or "cifar100".
      archive: an official archive, binary or python, also one with fewer records if `allow_partial`.
      data_dir: directory to write into; made if it is missing.
      form: "tfds", a directory that TensorFlow Datasets loads by name, or "npz", one file for use without TensorFlow.
      allow_partial: accepts fewer records than the official archive has.

    Raises:
      UsageError: if the archive is missing, damaged or of another data set, or the target is in the way.
    """
    directory = local(data_dir).expanduser().absolute()
    builder = _builder(name, directory) if form == "tfds" else None
    target = Path(builder.data_path) if builder else directory / f"{name}.npz"
    if target.exists():
        if builder and not _is_prepared(builder):
            raise UsageError(f"{target} is in the way: it is not a prepared data set. Remove it, then run this again.")
        if not builder:
            _check_npz(name, target, directory, allow_partial)
        print(f"{name} is prepared already: {target}")
        return
    contents = _read(archive, name, allow_partial)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=directory) as scratch:
        written = (_write_tfds if builder else _write_npz)(name, contents, Path(scratch))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(written, target)
    counts = f"{len(contents.train.labels):,} training and {len(contents.test.labels):,} test images"
    print(f"Wrote {counts} of {name} to {target}.")
    print(f"Next: python main.py --config=configs/{name}_sa.py --config.data.dir={data_dir}")


def _check_npz(name: str, target: Path, directory: Path, allow_partial: bool) -> None:
    """Raises UsageError if the file is damaged, or holds a part of the set where all of it is wanted."""
    found = tuple(len(load(name, split, directory).labels) for split in ("train", "test"))
    official = (info(name).num_train, info(name).num_test)
    if found != official and not allow_partial:
        raise UsageError(
            f"{target} is in the way: it has {found[0]} training and {found[1]} test images of {official[0]} and "
            f"{official[1]}. Remove it, then run this again, or keep it with --allow_partial."
        )


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m softaug_jax.data.prepare", description="Prepares CIFAR from an official archive on disk."
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--archive", required=True, help="the official .tar.gz, binary or python version")
    parser.add_argument("--data_dir", required=True, help="where to write")
    parser.add_argument("--format", choices=("tfds", "npz"), default="tfds", help="npz needs no TensorFlow")
    parser.add_argument("--allow_partial", action="store_true", help="accept an archive with fewer records")
    return parser.parse_args(words)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _read(archive: str | os.PathLike, name: str, allow_partial: bool) -> Archive:
    with tqdm(desc=f"Reading {name}", unit="B", unit_scale=True, leave=False, disable=None) as bar:
        contents = archives.read_archive(archive, name, expect_official_counts=not allow_partial, progress=bar.update)
    if contents.is_official:
        print(f"{archive}: the checksum is that of the official {contents.layout.form} archive.")
    else:
        print(f"{archive}: re-packed (the checksum is not the official one); its records were checked.")
    return contents


def _write_npz(name: str, contents: Archive, scratch: Path) -> Path:
    arrays = {
        "train_images": contents.train.images,
        "train_labels": contents.train.labels,
        "test_images": contents.test.images,
        "test_labels": contents.test.labels,
    }
    if contents.train_coarse is not None and contents.test_coarse is not None:
        arrays |= {"train_coarse_labels": contents.train_coarse, "test_coarse_labels": contents.test_coarse}
    path = scratch / f"{name}.npz"
    with tqdm(desc="Writing", total=1, leave=False, disable=None) as bar:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        bar.update()
    return path


def _builder(name: str, data_dir: Path) -> Any:
    try:
        datasets = tfds()
    except UsageError as error:
        raise UsageError(f"{error} Or write --format=npz, which does without.") from error
    with quiet():
        return datasets.builder(name, data_dir=str(data_dir))


def _is_prepared(builder: Any) -> bool:
    with quiet():
        return builder.is_prepared()


def _write_tfds(name: str, contents: Archive, scratch: Path) -> Path:
    """Has TFDS's own builder write the set, and returns the directory.

    The builder reads an archive of the official binary layout. It gets one that we pack from the checked records, so
    that it never unpacks what a stranger packed, and so that the python archive works too.
    """
    datasets = tfds()
    builder = _builder(name, scratch / "data")
    url = builder._cifar_info.url
    packed = scratch / "manual" / url.rsplit("/", 1)[-1]
    packed.parent.mkdir()
    _pack(packed, contents, builder._cifar_info)
    measured = datasets.core.download.checksums.compute_url_info(packed)
    official = dict(builder.url_infos)
    config = datasets.download.DownloadConfig(
        manual_dir=str(packed.parent), extract_dir=str(scratch / "extracted"), try_download_gcs=False
    )
    with _watched(datasets):
        try:
            # With the checksum of our file in place of the official one, TFDS takes it and does not go to the network.
            builder.url_infos.update({url: measured})
            builder.download_and_prepare(download_dir=str(scratch / "downloads"), download_config=config)
        finally:
            builder.url_infos.update(official)
    return Path(builder.data_path)


@contextlib.contextmanager
def _watched(datasets: Any) -> Iterator[None]:
    """Drops what TFDS prints, and its progress bars (on stderr) unless somebody watches."""
    if not sys.stderr.isatty():
        datasets.disable_progress_bar()
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        yield


def _pack(path: Path, contents: Archive, layout: Any) -> None:
    """Writes the records as a binary archive: what `layout`, TFDS's description of it, says."""
    names = {
        "batches.meta.txt": CIFAR10_CLASSES,
        "fine_label_names.txt": CIFAR100_CLASSES,
        "coarse_label_names.txt": CIFAR100_COARSE_CLASSES,
    }
    train = np.array_split(_records(contents.train, contents.train_coarse), len(layout.train_files))
    members = dict(zip(layout.train_files, (part.tobytes() for part in train), strict=True))
    members[layout.test_files[0]] = _records(contents.test, contents.test_coarse).tobytes()
    members |= {file: ("\n".join(names[file]) + "\n").encode() for file in layout.label_files}
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for member, data in tqdm(members.items(), desc="Packing", leave=False, disable=None):
            entry = tarfile.TarInfo(layout.prefix + member)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def _records(arrays: Arrays, coarse: np.ndarray | None) -> np.ndarray:
    columns = [arrays.labels] if coarse is None else [coarse, arrays.labels]
    pixels = arrays.images.transpose(0, 3, 1, 2).reshape(len(arrays.labels), -1)
    return np.concatenate([np.stack(columns, axis=1).astype(np.uint8), pixels], axis=1)


if __name__ == "__main__":
    sys.exit(main())
