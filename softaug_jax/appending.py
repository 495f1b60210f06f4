"""Files that grow: what can't be written is kept, and goes first when there is room again."""

from __future__ import annotations

import io
import time
from pathlib import Path

from softaug_jax.paths import is_in_bucket

SECONDS_BETWEEN_COPIES = 10.0  # a bucket takes one copy of an object a second at most


class Appender:
    """Appends to a file, at once."""

    def __init__(self, path: Path):
        self._path = path
        self._file: io.FileIO | None = None
        self.pending = b""

    def append(self, data: bytes) -> None:
        """Appends; raises OSError if not all could be written."""
        self.pending += data
        self.flush()

    def flush(self) -> None:
        """Appends what is pending; raises OSError if not all could be written."""
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        while self.pending:  # a part may fit
            self.pending = self.pending[self._file.write(self.pending) :]

    def close(self) -> None:
        """Closes the file; what could not be written is lost."""
        if self._file is not None:
            self._file.close()


class Rewriter:
    """An Appender for a bucket, whose objects can't be appended to: writes them anew, whole, at times."""

    def __init__(self, path: Path, seconds: float = SECONDS_BETWEEN_COPIES):
        """`seconds`: what is appended may wait for so long, for more to go with it."""
        self._path, self._seconds = path, seconds
        self._stored: bytes | None = None  # not known yet
        self._written_at = -seconds
        self.pending = b""

    def append(self, data: bytes) -> None:
        """Keeps it, and writes if the time has come; raises OSError if it could not be written."""
        self.pending += data
        if time.monotonic() >= self._written_at + self._seconds:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending; raises OSError if it could not be written."""
        if not self.pending:
            return
        if self._stored is None:
            self._stored = self._path.read_bytes() if self._path.exists() else b""
        self._written_at = time.monotonic()
        self._path.write_bytes(self._stored + self.pending)
        self._stored, self.pending = self._stored + self.pending, b""

    def close(self) -> None:
        """Does nothing: what is flushed is there."""


def appender(path: Path) -> Appender | Rewriter:
    """What appends to a file, wherever it is."""
    return Rewriter(path) if is_in_bucket(path) else Appender(path)
