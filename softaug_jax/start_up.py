"""What a signal does to a program that has nothing to save: a training that starts, or what begins anew each time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ends_on_sigterm(goes_on: bool = True) -> Iterator[None]:
    """Within it SIGTERM ends the program, unless what is called there listens itself.

    A scheduler that takes the machine back while a training still starts is not to take that for a failure: there is
    nothing to save, the same command begins where this one did, and the code is 0. For what never `goes_on`, as an
    evaluation, the code is 143, as if nothing had listened: whoever waits for its result is not to take the end for
    one. What runs in C++, as a compilation, ends first.
    """
    previous = signal.signal(signal.SIGTERM, _end_of_start if goes_on else _end_of_work)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_of_start(number: int, frame: FrameType | None) -> None:
    print("SIGTERM while nothing was under way: nothing is lost. The same command starts again.", file=sys.stderr)
    raise SystemExit(0)


def _end_of_work(number: int, frame: FrameType | None) -> None:
    print("SIGTERM before the end: the result is missing. The same command begins anew.", file=sys.stderr)
    raise SystemExit(128 + number)
