"""What a run leaves behind: config.json, metrics.jsonl, TensorBoard events, summary.json, figures."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from softaug_jax.appending import appender
from softaug_jax.checks import UsageError
from softaug_jax.paths import is_in_bucket, path_of
from softaug_jax.run_files import DATA_FIELDS, read_history, read_json, settings, write_json, write_whole
from softaug_jax.train import events

# Fields that do not change what a run computes, so that a workdir may be gone on with under another value. Whether
# another data.dir holds the same images, `shared.check_train` sees.
FREE_FIELDS = ("name", *DATA_FIELDS)


def warn(sentence: str) -> None:
    """Says on stderr what went wrong and is gone on from."""
    print(f"warning: {sentence}.", file=sys.stderr, flush=True)


class Workdir:
    """The folder of one run."""

    def __init__(self, path: str | Path):
        self.path = path_of(path).absolute()

    def claim(self, config: Any) -> None:
        """Makes the folder where there is none, and writes the config; raises UsageError if it can't be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not is_in_bucket(self.path):  # in a bucket, the config shows it
                with tempfile.TemporaryFile(dir=self.path):
                    pass
            if not self.is_run():
                write_json(self.path / "config.json", config.to_dict())
        except OSError as error:
            raise UsageError(
                f"--workdir={self.path} can't be written: {error.strerror}. Choose another folder."
            ) from None

    def release(self) -> None:
        """Takes the config back where no checkpoint is that a run may go on from: a mended one may be trained here."""
        try:
            if not any((self.path / "checkpoints").glob("[0-9]*")):
                (self.path / "config.json").unlink(missing_ok=True)
        except OSError as error:
            warn(f"{self.path}/config.json can't be removed ({error.strerror}): another config needs another workdir")

    def is_run(self) -> bool:
        """Whether a run has begun here; UsageError if that can't be seen."""
        try:
            return (self.path / "config.json").exists()
        except OSError as error:
            raise UsageError(f"--workdir={self.path} can't be looked into: {error.strerror}.") from None

    def check(self, config: Any, ignore: tuple[str, ...] = ()) -> None:
        """Raises UsageError if the folder was made with another config; `ignore` holds prefixes of fields."""
        if not self.is_run():
            return
        ours, theirs = (
            settings(json.loads(json.dumps(config.to_dict()))),
            settings(read_json(self.path / "config.json")),
        )
        skip = (*FREE_FIELDS, *ignore)
        differ = [
            f"{field}: {theirs.get(field)!r} there, {ours.get(field)!r} now"
            for field in sorted(ours.keys() | theirs.keys())
            if ours.get(field) != theirs.get(field) and not field.startswith(skip)
        ]
        if differ:
            raise UsageError(
                f"--workdir={self.path} was made with another config ({'; '.join(differ)}). "
                "Use that config, or another workdir."
            )

    def summary(self) -> dict[str, Any] | None:
        """The finished run's summary, or None."""
        path = self.path / "summary.json"
        return read_json(path) if path.exists() else None

    def num_train(self) -> int | None:
        """How many images the finished run was trained on, or None: in folders of files, not always those published."""
        return (self.summary() or {}).get("num_train")


class MetricsLog:
    """Appends rows to metrics.jsonl and, as scalars, to TensorBoard events.

    A row that can't be written is told, kept, and written with the next one.
    """

    def __init__(self, workdir: Workdir, from_step: int, tell: Callable[[str], object] = warn, *, ended: bool = False):
        """Drops rows after `from_step`, which a run that was interrupted wrote beyond its last checkpoint.

        Args:
          workdir: of the run.
          from_step: the step it goes on from.
          tell: is called with a sentence for each write that fails.
          ended: whether nothing is left to train: the last test is run again, so that its row is dropped, too.

        Raises:
          UsageError: if metrics.jsonl can't be read or written.
        """
        self._path, self._tell = workdir.path / "metrics.jsonl", tell
        is_again = lambda row: ended and row["step"] == from_step and row["split"] == "test"
        rows = [row for row in read_history(self._path) if row["step"] <= from_step and not is_again(row)]
        try:
            write_whole(self._path, "".join(json.dumps(row) + "\n" for row in rows))
        except OSError as error:
            raise UsageError(
                f"{self._path} can't be written: {error.strerror}. Free some space, or the file."
            ) from None
        self._file = appender(self._path)
        self._events = events.create(workdir.path, from_step + 1)

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Writes one row; lists go to metrics.jsonl only."""
        row = {"split": split, "step": step, "epoch": round(epoch, 4), **values}
        self._attempt("metrics.jsonl", partial(self._file.append, json.dumps(row).encode() + b"\n"))
        if self._events is not None:
            self._attempt("TensorBoard's events", partial(self._events.write, split, step, values))

    def flush(self) -> None:
        """Writes what is left of both."""
        self._attempt("metrics.jsonl", self._file.flush)
        if self._events is not None:
            self._attempt("TensorBoard's events", self._events.flush)

    def close(self) -> None:
        """Tries what is left once more, and closes both."""
        self.flush()
        self._file.close()
        if self._events is not None:
            self._events.close()

    def _attempt(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._tell(f"{what} in {self._path.parent} can't be written ({error.strerror}): it is tried again later")


class NoLog:
    """What a process writes to that keeps no metrics: of several, only the first keeps them."""

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Writes nothing."""

    def flush(self) -> None:
        """Has nothing left."""

    def close(self) -> None:
        """Does nothing."""
