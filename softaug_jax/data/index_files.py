"""Indices of large sets, made once and then mapped into memory, so that their size costs nothing at the next start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

VERSION = 1  # of the indices' layout; an older one is made again
ABOUT = "about.json"


def cached_index(
    source: Path, fingerprint: str, build: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Returns the arrays that `build` makes for a data set, from the cache if it has them.

    The cache is `.softaug_jax/` beside the set (not in it, where other programs would take it for a class), or where
    that can't be written the user's cache folder, or else a temporary one. Several processes, on several machines, may
    do this at once. An intact index is never replaced: others may have mapped it, and on a network file system a file
    that is deleted takes its maps with it.

    Args:
      source: the set's folder.
      fingerprint: changes when the set does.
      build: makes the arrays, none of them empty.

    Returns:
      The arrays by name, mapped from files and read-only.
    """
    wanted = {"version": VERSION, "source": str(source.resolve()), "fingerprint": fingerprint}
    folders = _folders(source, zlib.crc32(json.dumps(wanted).encode()))
    for folder in folders:
        if (found := _open(folder, wanted)) is not None:
            return found
    arrays = build()
    for folder in folders:
        with contextlib.suppress(OSError):  # read-only, or full, or another process was first
            _write(folder, wanted, arrays)
        if (found := _open(folder, wanted)) is not None:
            return found
    with tempfile.TemporaryDirectory(prefix="softaug_jax-") as scratch:  # the files live on while they are mapped
        _write(Path(scratch) / "index", wanted, arrays)
        found = _open(Path(scratch) / "index", wanted)
        assert found is not None
        return found


def _folders(source: Path, wanted_crc: int) -> list[Path]:
    """Where the index of a set may be, best first."""
    absolute = source.resolve()
    name = f"{absolute.name}-{wanted_crc:08x}"
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    candidates = [absolute.parent / ".softaug_jax" / name]
    with contextlib.suppress(RuntimeError):  # no home
        candidates.append(user.expanduser() / "softaug_jax" / name)
    return candidates


def _open(folder: Path, wanted: Mapping[str, object]) -> dict[str, np.ndarray] | None:
    """The arrays in `folder`, or None if they are not there, damaged or of something else."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        names = about.pop("arrays")
        if about != wanted:
            return None
        load = lambda name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return {name: load(name).view(np.ndarray) for name in names}  # as quick to index as any, and mapped still
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(folder: Path, wanted: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the arrays; the folder appears when it is complete, in place of a damaged one.

    Raises:
      OSError: if it can't be written, or an intact one is there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.writing-", dir=folder.parent))
    try:
        scratch.chmod(0o755)  # others who share the set may read it
        for name, values in arrays.items():
            np.save(scratch / f"{name}.npy", values, allow_pickle=False)
        (scratch / ABOUT).write_text(json.dumps({**wanted, "arrays": list(arrays)}))
        if _open(folder, wanted) is None:
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(scratch, folder)  # never onto a folder with files in it
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
