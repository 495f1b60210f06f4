"""What Orbax and TensorStore print when a file can't be read or written: hundreds of lines for one that we say."""

from __future__ import annotations

import logging
import sys
from typing import Any


def silence() -> None:
    """Drops their reports of failures that reach us as an exception; others' stay. Again is as good as once."""
    logging.getLogger("absl").addFilter(_is_not_orbax)
    logging.getLogger("asyncio").addFilter(_is_not_orbax)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
    """Drops what reads under way say when the first of them has failed and Orbax has closed their event loop."""

    def __init__(self, otherwise: Any):
        self._otherwise = otherwise

    def __call__(self, unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            self._otherwise(unraisable)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    if "orbax" in record.pathname:
        return False
    return not (record.name == "asyncio" and "exception was never retrieved" in record.getMessage())
