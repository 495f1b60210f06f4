"""What a signal does to a program that has nothing to save: a training that starts, or what begins anew each time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

GOES_ON = "SIGTERM while nothing was under way: nothing is lost. The same command starts again.\n"
IS_MISSING = "SIGTERM before the end: the result is missing. The same command begins anew.\n"


@contextlib.contextmanager
def ends_on_sigterm(goes_on: bool = True, leave: Callable[[SystemExit], object] = lambda _: None) -> Iterator[None]:
    """Within it SIGTERM ends the program, unless what is called there listens itself.

    A scheduler that takes the machine back while a training still starts is not to take that for a failure: there is
    nothing to save, the same command begins where this one did, and the code is 0. For what never `goes_on`, as an
    evaluation, the code is 143, as if nothing had listened: whoever waits for its result is not to take the end for
    one. What runs in C++, as a compilation, ends first. A signal that was held back until now is heard, too.

    Args:
      goes_on: whether the same command goes on, or starts again, with nothing lost.
      leave: is told how the program ends, right before it does.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, (GOES_ON if goes_on else IS_MISSING).encode())  # print fails where it is called within a print
        code = 0 if goes_on else 128 + number
        leave(SystemExit(code))
        leave_now(code)

    previous = signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def leave_now(code: int) -> None:
    """Ends the process without Python's tidying up.

    An exception instead would be lost where the garbage collector calls Python, and the tidying up crashes in threads
    that are at work in C++.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(RuntimeError, OSError):  # the signal came while it was written to; or it is closed
            stream.flush()
    os._exit(code)
