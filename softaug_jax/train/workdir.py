"""What a run leaves behind: config.json, metrics.jsonl, TensorBoard events, summary.json, figures."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from softaug_jax.checks import UsageError
from softaug_jax.run_files import flatten, read_history, read_json, write_json, write_whole

# Fields that do not change what a run computes, so that a workdir may be gone on with under another value.
FREE_FIELDS = ("data.dir", "data.download")


class Workdir:
    """The folder of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path).absolute()

    def claim(self, config: Any) -> None:
        """Makes the folder where there is none, and writes the config; raises UsageError if it can't be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UsageError(
                f"--workdir={self.path} can't be written: {error.strerror}. Choose another folder."
            ) from None
        if not self.is_run():
            write_json(self.path / "config.json", config.to_dict())

    def is_run(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "config.json").exists()

    def check(self, config: Any, ignore: tuple[str, ...] = ()) -> None:
        """Raises UsageError if the folder was made with another config; `ignore` holds prefixes of fields."""
        if not self.is_run():
            return
        ours, theirs = flatten(json.loads(json.dumps(config.to_dict()))), flatten(read_json(self.path / "config.json"))
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


class MetricsLog:
    """Appends rows to metrics.jsonl and, as scalars, to TensorBoard events."""

    def __init__(self, workdir: Workdir, from_step: int):
        """Drops rows after `from_step`, which a run that was interrupted wrote beyond its last checkpoint."""
        path = workdir.path / "metrics.jsonl"
        rows = [row for row in read_history(path) if row["step"] <= from_step]
        write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
        self._file = path.open("a")
        self._events = _events(workdir.path, from_step + 1)

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Writes one row; lists go to metrics.jsonl only."""
        self._file.write(json.dumps({"split": split, "step": step, "epoch": round(epoch, 4), **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if self._events is not None and isinstance(value, (int, float)):
                self._events.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        if self._events is not None:
            self._events.close()


class NoLog:
    """What a process writes to that keeps no metrics: of several, only the first keeps them."""

    def write(self, split: str, step: int, epoch: float, values: dict[str, Any]) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Does nothing."""


def _events(path: Path, purge_step: int) -> Any:
    """A writer of TensorBoard events; None, and a line that says so, on a machine that was set up without it."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        print("tensorboardX is not installed: metrics.jsonl is written, TensorBoard events are not.", file=sys.stderr)
        return None
    return SummaryWriter(str(path), purge_step=purge_step)
