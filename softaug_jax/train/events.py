"""Scalars as TensorBoard events, written by the caller's thread: a failed write is the caller's to know."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Appends scalars to an event file in a folder.

    tensorboardX's own SummaryWriter writes in a thread that a full disk ends, and its caller then waits forever at a
    full queue; so only its format is used here.
    """

    def __init__(self, folder: Path, purge_step: int):
        """Events of `purge_step` and later, which a run that was interrupted wrote, are forgotten by TensorBoard."""
        self._prefix, self._purge_step = str(folder / "events"), purge_step
        self._files = 0  # how many were begun
        self._writer: Any = None
        self._pending: list[Any] = []

    def write(self, split: str, step: int, values: Mapping[str, Any]) -> None:
        """Appends those of the values that are numbers, and what an earlier call could not.

        Raises:
          OSError: if the file can't be written. What was to be written is kept for the next call.
        """
        from tensorboardX.proto import event_pb2, summary_pb2

        numbers = {name: value for name, value in values.items() if isinstance(value, (int, float))}
        scalars = [summary_pb2.Summary.Value(tag=f"{split}/{name}", simple_value=x) for name, x in numbers.items()]
        event = event_pb2.Event(step=step, wall_time=time.time(), summary=summary_pb2.Summary(value=scalars))
        self._pending.append(event)
        self.flush()

    def flush(self) -> None:
        """Writes what is left; raises OSError as `write` does."""
        if not self._pending:
            return
        try:
            if self._writer is None:
                self._begin()
            for event in self._pending:
                self._writer.write_event(event)
            self._writer.flush()
        except OSError:
            self._abandon()
            raise
        self._pending.clear()

    def close(self) -> None:
        """Closes the file; what could not be written is lost."""
        if self._writer is not None:
            self._writer.close()

    def _begin(self) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self._files += 1
        # One a second is what their names, which have the time in them, tell apart.
        self._writer = EventsWriter(self._prefix, filename_suffix=f".{self._files}" if self._files > 1 else "")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.write_event(event_pb2.Event(step=self._purge_step, session_log=start))

    def _abandon(self) -> None:
        """Leaves a file in which a record may have been cut off: behind that, TensorBoard would read nothing."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
        except OSError:
            pass  # it is what has just been said


def create(folder: Path, purge_step: int) -> Events | None:
    """A writer; None, and a line that says so, on a machine that was set up without tensorboardX."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        print("tensorboardX is not installed: metrics.jsonl is written, TensorBoard events are not.", file=sys.stderr)
        return None
    return Events(folder, purge_step)
