"""What Orbax and TensorStore print when a file can't be read or written: hundreds of lines for one that we say."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

PATH = os.path.join("orbax", "checkpoint")  # in the path of each of its files


def silence() -> None:
    """Drops their reports of failures that reach us as an exception; others' stay. Again is as good as once."""
    logging.getLogger("absl").addFilter(_is_not_orbax)
    logging.getLogger("asyncio").addFilter(_is_not_orbax)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
    """Drops what the other reads say that are under way when one has failed, and Orbax has closed their event loop."""

    def __init__(self, otherwise: Any):
        self._otherwise = otherwise

    def __call__(self, unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)  # of a coroutine
        is_closed = (
            isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed"
        )
        if not is_closed and not (code is not None and PATH in code.co_filename):
            self._otherwise(unraisable)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    if PATH in record.pathname:
        return False
    return not (record.name == "asyncio" and "exception was never retrieved" in record.getMessage())
