"""What the processes of one run write for one another, in the key-value store of `jax.distributed`.

Process 0 keeps it. No device takes part, so it works before the first program runs and while devices wait.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from softaug_jax.checks import UsageError

ROOT = "softaug_jax/"


class Store:
    """Texts by name, the same for all processes; this process is number `index` of `count`."""

    def __init__(self, client: Any, index: int, count: int, patience_seconds: float = 300.0):
        """`client` is the distributed runtime's; `patience_seconds`: how long to wait for what another one writes."""
        self.index, self.count = index, count
        self._client, self._patience_seconds = client, patience_seconds
        self._rounds = 0
        self.write(f"host/{index}", socket.gethostname())

    def write(self, name: str, text: str) -> None:
        """Sets a text, or replaces it."""
        self._client.key_value_set(ROOT + name, text, allow_overwrite=True)

    def read_all(self, folder: str) -> dict[str, str]:
        """The texts below a folder that are there now, by their names in it."""
        found = self._client.key_value_dir_get(f"{ROOT}{folder}/")
        return {name.removeprefix(f"{ROOT}{folder}/"): text for name, text in found}

    def wait_for(self, name: str, writer: int) -> str:
        """The text that process `writer` writes; UsageError if it does not in time."""
        try:
            text: str = self._client.blocking_key_value_get(ROOT + name, round(1000 * self._patience_seconds))
        except RuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
            raise UsageError(
                f"process {writer} is not as far as the others after {self._patience_seconds:g} s. See what its log "
                "says; if it only needs longer, to read its data for example, set --initialization_timeout=SECONDS."
            ) from None
        return text

    def agree(self, what: Mapping[str, Any]) -> None:
        """Waits for all processes, and compares what they give.

        Args:
          what: names and values that JSON can hold.

        Raises:
          UsageError: on every process, if one gives something else than process 0, or does not come in time.
        """
        folder = self._next("agree")
        ours = {name: json.dumps(value, sort_keys=True) for name, value in what.items()}
        if self.index == 0:
            self.write(f"{folder}/first", json.dumps(ours))
        first = json.loads(self.wait_for(f"{folder}/first", 0))
        differ = [
            f"{name} is {ours.get(name, 'missing')}, not {first.get(name, 'missing')}"
            for name in sorted(ours.keys() | first.keys())
            if ours.get(name) != first.get(name)
        ]
        self.write(f"{folder}/differ{self.index}", "; ".join(differ))
        found = [self.wait_for(f"{folder}/differ{i}", i) for i in range(self.count)]
        wrong = [f"on {self.called(i)} {text}" for i, text in enumerate(found) if text]
        if wrong:
            raise UsageError(
                f"The processes differ from process 0: {'. And '.join(wrong)}. "
                "Start all of them with one command, one installation and one data set."
            )

    def exchange(self, value: str) -> list[str]:
        """What each process gives here, in their order; waits for all, and UsageError if one does not come in time."""
        folder = self._next("exchange")
        self.write(f"{folder}/{self.index}", value)
        return [self.wait_for(f"{folder}/{i}", i) for i in range(self.count)]

    def first_says(self, value: str) -> str:
        """The value that process 0 gives here. It waits for nobody; the others wait for it."""
        name = self._next("says")
        if self.index == 0:
            self.write(name, value)
        return self.wait_for(name, 0)

    def called(self, index: int) -> str:
        """A process's number and host, for people."""
        host = self.read_all("host").get(str(index))
        return f"process {index}" + (f" ({host})" if host else "")

    def _next(self, name: str) -> str:
        """A name of its own for each call: all processes make the same calls in the same order."""
        self._rounds += 1
        return f"{name}{self._rounds}"
