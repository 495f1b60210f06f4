"""A program that is run to its end, and is passed on the signals that would end this one."""

from __future__ import annotations

import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """Runs programs one after another; while it is open, signals go to the one that runs, and are remembered.

    The program has a process group of its own, so that Ctrl-C, which a terminal sends to all of a group, reaches it
    once: main.py takes a second one as "at once".
    """

    def __init__(self) -> None:
        self.timed_out = False  # whether the last one was stopped because its time was up
        self.signal: signal.Signals | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pending: deque[int] = deque()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Child:
        for number in PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup stays nohup
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], seconds: float | None = None) -> int:
        """Runs a program to its end; returns its exit code. After a signal nothing is started any more.

        With `seconds`, a program that still runs then gets SIGTERM, on which main.py saves, and is waited for.
        """
        self.timed_out = False
        if self.signal is not None:
            return 0
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        self._deliver()  # what came while it was being started
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.timed_out = True
            if self.signal is None:  # a second signal would be taken as "at once"
                self._process.send_signal(signal.SIGTERM)
            code = self._process.wait()
        self._process = None
        return code

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._pending.append(signal.SIGTERM if number == signal.SIGHUP else number)  # main.py saves on SIGTERM
        self._deliver()

    def _deliver(self) -> None:
        while self._process is not None and self._pending:
            self._process.send_signal(self._pending.popleft())
