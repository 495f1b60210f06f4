"""Scalars as TensorBoard events, written by the caller's thread: a failed write is the caller's to know."""

from __future__ import annotations

import platform
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softaug_jax.appending import appender


class Events:
    """Appends scalars to an event file of its own.

    tensorboardX's SummaryWriter writes in a thread that a full disk ends, and its caller then waits forever at a full
    queue; so only its messages and checksums are used here.
    """

    def __init__(self, folder: Path, purge_step: int):
        """Events of `purge_step` and later, which a run that was interrupted wrote, are forgotten by TensorBoard."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        now = time.time()
        self._file = appender(folder / f"events.out.tfevents.{now:.0f}.{platform.node()}")
        version = Event(wall_time=now, file_version="brain.Event:2")
        start = Event(wall_time=now, step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self._file.pending = _record(version) + _record(start)

    def write(self, split: str, step: int, values: Mapping[str, Any]) -> None:
        """Appends those of the values that are numbers; raises OSError if they can't be written."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        numbers = {name: value for name, value in values.items() if isinstance(value, (int, float))}
        scalars = [Summary.Value(tag=f"{split}/{name}", simple_value=number) for name, number in numbers.items()]
        self._file.append(_record(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars))))

    def flush(self) -> None:
        """Appends what could not be before; raises OSError if they can't be written."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def create(folder: Path, purge_step: int) -> Events | None:
    """A writer; None, and a line that says so, on a machine that was set up without tensorboardX."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        print("tensorboardX is not installed: metrics.jsonl is written, TensorBoard events are not.", file=sys.stderr)
        return None
    return Events(folder, purge_step)


def _record(event: Any) -> bytes:
    """A message as a TFRecord: length, its checksum, the message, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    message = event.SerializeToString()
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", masked_crc32c(length)) + message + struct.pack("<I", masked_crc32c(message))
