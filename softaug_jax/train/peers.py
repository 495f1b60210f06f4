"""The processes of one run: they stop at one step, and none waits for ever for one that has failed or died.

A thread of each looks twice a second at what the others have written. JAX has means of its own for both, which stay as
a last resort: its preemption manager hears SIGTERM alone, by a handler that the loop's own would replace, and wants
every step reported; its heartbeats end the processes that wait by an abort from C++.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from softaug_jax.train.store import Store

POLL_SECONDS = 0.5
SUSPICION_SECONDS = 5.0  # of silence, in a process that is suspected because a computation with it failed
AGAIN = "Start all processes again: the same command goes on from the newest checkpoint."


class Peers:
    """This process among the others. Without a store it is alone, and every question is answered at once."""

    def __init__(self, store: Store | None = None, timeout_seconds: float = 100.0):
        """`timeout_seconds`: after so long a silence process 0 takes another process for dead, and all end."""
        self._store, self._timeout_seconds = store, timeout_seconds
        self._lock = threading.Lock()  # held by the thread while the step to stop at is being agreed on
        self._step, self._wish = 0, ""
        self._stop_at: int | None = None
        self._agreeing = False
        self._leaving = threading.RLock()  # held by the thread that ends this process, in which a signal may still come
        self.stop_reason = ""
        self._last_change: dict[str, tuple[str, float]] = {}  # of a process's beat
        self._beats = 0
        self._closed = threading.Event()
        if store is not None:
            self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
            self._thread.start()

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self._store is None

    @property
    def name(self) -> str:
        """This process's number and host, for people."""
        return "this process" if self._store is None else self._store.called(self._store.index)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints, and writes all but its part of the checkpoints."""
        return self._store is None or self._store.index == 0

    def agree(self, **what: Any) -> None:
        """Waits for all; UsageError, on each of them, if one gives other values than process 0."""
        if self._store is not None:
            self._store.agree(what)

    def exchange(self, value: str) -> list[str]:
        """What each process gives here, in their order; waits for all, and UsageError if one does not come in time."""
        return [value] if self._store is None else self._store.exchange(value)

    def first_says(self, value: str) -> str:
        """The value that process 0 gives here."""
        return value if self._store is None else self._store.first_says(value)

    def stops_at(self, step: int, wish: str = "") -> bool:
        """Whether to stop now that `step` steps are dispatched: the same answer in every process for the same step.

        To be asked before each dispatch that goes beyond `step`. Once one process has a `wish` (in words), the answer
        is yes from the first dispatch boundary on that no process had begun to pass when all had heard of it.
        """
        if self._store is None:
            self.stop_reason = wish
            return bool(wish)
        self._wish = self._wish or wish
        with self._lock:
            if self._stop_at is not None:
                return step >= self._stop_at
            self._step = step
            return False

    def fail(self, message: str, code: int) -> NoReturn:
        """Ends this process with one line, and the others with the same."""
        self._begin_to_leave()
        if self._store is not None:
            self._store.write(f"news/failed/{self._store.index}", json.dumps({"message": message, "code": code}))
            time.sleep(2 * POLL_SECONDS)  # for the others to read why, before they see connections with this one break
        self._leave(message, code)

    def crash(self, error: BaseException) -> NoReturn:
        """Ends all after an error here, which may be how another one's death is seen: then it names that one."""
        assert self._store is not None
        traceback.print_exception(error)
        seen = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        before = self._store.read_all("beat")
        time.sleep(SUSPICION_SECONDS)
        silent = [i for i, beat in self._store.read_all("beat").items() if beat == before.get(i) != "done"]
        text = f"{self._lost(silent)} (Seen on {self.name} as {seen})" if silent else f"{self.name} failed: {seen}"
        self.fail(text, 1)

    def close(self) -> None:
        """Says that this process has done its work."""
        if self._store is not None and not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self._store.write(f"beat/{self._store.index}", "done")

    def _watch(self) -> None:
        assert self._store is not None
        while not self._closed.wait(POLL_SECONDS):
            try:
                self._look(self._store)
            except Exception as error:  # the store is gone, and with it process 0, which keeps it
                if not self._closed.is_set():
                    self._begin_to_leave()
                    self._leave(f"process 0 can't be reached: {' '.join(str(error).split())[:200]}. {AGAIN}", 1)

    def _look(self, store: Store) -> None:
        self._beats += 1
        store.write(f"beat/{store.index}", str(self._beats))
        news = store.read_all("news")
        failed = [json.loads(text) for name, text in news.items() if name.startswith("failed/")]
        if failed:
            self._begin_to_leave()
            self._leave(**failed[0])
        if store.index == 0 and (silent := self._silent(store.read_all("beat"), store.count)):
            self.fail(self._lost(silent), 1)
        if self._wish:
            store.write(f"news/stop/{store.index}", self._wish)
        if self._stop_at is None:
            self._agree_on_stop(store, {name: text for name, text in news.items() if name.startswith("stop/")})

    def _silent(self, beats: Mapping[str, str], count: int) -> list[str]:
        """The processes whose beat has not changed for too long."""
        now = time.monotonic()
        for i in map(str, range(count)):
            if i not in self._last_change or beats.get(i) != self._last_change[i][0]:
                self._last_change[i] = beats.get(i, ""), now
        return [i for i, (beat, at) in self._last_change.items() if beat != "done" and now - at > self._timeout_seconds]

    def _lost(self, silent: list[str]) -> str:
        assert self._store is not None
        who = ", ".join(self._store.called(int(i)) for i in silent)
        return f"{who} died or can't be reached: nothing is heard any more. {AGAIN}"

    def _agree_on_stop(self, store: Store, wishes: Mapping[str, str]) -> None:
        """Once there is a wish: holds the loop before its next dispatch until the step of every process is known."""
        if not wishes:
            return
        if not self._agreeing:
            self._lock.acquire()
            self._agreeing = True
            first = min(wishes)
            reason = f"{wishes[first]} on {store.called(int(first.removeprefix('stop/')))}"
            store.write(f"step/{store.index}", json.dumps({"step": self._step, "reason": reason}))
        heard = {name: json.loads(text) for name, text in store.read_all("step").items()}
        if len(heard) == store.count:
            # Of several wishes each may have heard another one first: what process 0 has heard is everyone's reason.
            self.stop_reason = heard["0"]["reason"]
            # Each may be on its way beyond its step, but only to the next boundary, which they all have in common.
            self._stop_at = max(one["step"] for one in heard.values()) + 1
            self._lock.release()

    def _begin_to_leave(self) -> None:
        """Returns to one thread. What another one has to say while the process ends is mostly of the others' end."""
        if not self._leaving.acquire(blocking=False):
            threading.Event().wait()

    def _leave(self, message: str, code: int) -> NoReturn:
        """Ends the process at once: its exit handlers would wait for the others, or for devices that wait for them."""
        print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
        if self._store is not None and self._store.index == 0:
            time.sleep(6 * POLL_SECONDS)  # for the others to read why: the store ends with this process
        sys.stdout.flush()
        os._exit(code)
