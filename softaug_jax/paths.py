"""Where files may be: folders of this machine, and folders of Google Cloud Storage, as in gs://BUCKET/FOLDER."""

from __future__ import annotations

import errno
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from softaug_jax.checks import UsageError

# epath goes by gcsfs then, as it does without TensorFlow. It looks once, so it is set before anything else uses epath.
os.environ.setdefault("EPATH_USE_TF", "false")
INSTALL = 'pip install -e ".[gcs]"'
# What a path of a bucket is asked for over the network.
ASKED = (
    *("exists", "is_dir", "is_file", "stat", "iterdir", "glob", "mkdir", "rename", "unlink", "rmtree"),
    *("read_bytes", "read_text", "write_bytes", "write_text"),
)


def path_of(where: str | os.PathLike[str]) -> Path:
    """The path of a folder or file; that of a bucket behaves like a pathlib.Path, OSErrors included.

    Args:
      where: a path of this machine, or gs://BUCKET/FOLDER.

    Raises:
      UsageError: if it is an address that can't be used here.
    """
    text = os.fspath(where)
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    if scheme != "gs":
        raise UsageError(f"{text} can't be used: name a folder of this machine, or of a bucket, as in gs://BUCKET/DIR.")
    if importlib.util.find_spec("gcsfs") is None:
        raise UsageError(f"{text} can't be used without gcsfs. Install it with {INSTALL}.")
    return cast(Path, _bucket_path()(text))


def local(where: str | os.PathLike[str]) -> Path:
    """The path of what must be on this machine, or on a file system that it mounts; UsageError for an address."""
    text = os.fspath(where)
    if "://" in text:
        raise UsageError(
            f"{text} is not on this machine. Name a folder here; gcloud storage cp, or a mount by gcsfuse, is the way "
            "between it and a bucket."
        )
    return Path(text)


def is_in_bucket(path: Path) -> bool:
    """Whether a path is of a bucket: what is there is written whole, never appended to."""
    return not isinstance(path, Path)


@functools.cache
def _bucket_path() -> type:
    """epath's class of paths, with one kind of errors; late, since few runs need it."""
    import fsspec
    from etils import epath

    for name in ("gs", "gcs"):  # another process's new files would not be seen
        fsspec.config.conf.setdefault(name, {}).setdefault("use_listings_cache", False)
    base = type(epath.Path("gs://bucket"))
    methods = {name: _with_os_errors(getattr(base, name)) for name in ASKED}
    itself = lambda path, strict=False: path  # epath takes an address for a path of this machine
    return type("BucketPath", (base,), {**methods, "absolute": itself, "resolve": itself})


def _with_os_errors(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Raises what gcsfs, aiohttp and google.auth raise, of many types, as an OSError that says it in words."""

    @functools.wraps(ask)
    def asked(self: Any, *args: Any, **options: Any) -> Any:
        try:
            found = ask(self, *args, **options)
            return iter(list(found)) if isinstance(found, Iterator) else found
        except Exception as error:
            number = getattr(error, "errno", None) or _errno(error)
            raise OSError(number, _words(error, number), str(self)) from error

    return asked


def _errno(error: Exception) -> int:
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT
    if isinstance(error, FileExistsError):
        return errno.EEXIST
    if isinstance(error, PermissionError) or str(getattr(error, "code", "")) in ("401", "403"):
        return errno.EACCES
    return errno.EIO


def _words(error: Exception, number: int) -> str:
    if number in (errno.ENOENT, errno.EEXIST):
        return os.strerror(number)
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split()).rstrip(".") or type(error).__name__
