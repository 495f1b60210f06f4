"""What a signal does to a program that has not begun its work yet."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """Within it SIGTERM ends the program with code 0, unless what is called there listens itself.

    A scheduler that takes the machine back while a program still starts is not to take that for a failure: there is
    nothing to save, and the same command begins where this one did. What runs in C++, as a compilation, ends first.
    """
    previous = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end(number: int, frame: FrameType | None) -> None:
    print("SIGTERM while nothing was under way: nothing is lost. The same command starts again.", file=sys.stderr)
    raise SystemExit(0)
