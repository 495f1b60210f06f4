"""Runs of several processes on this machine, for the tests."""

from __future__ import annotations

import socket
import subprocess

from tests.train.helpers import main


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return int(s.getsockname()[1])


def joining(count: int) -> list[list[str]]:
    """For each process, the flags that join it to the others."""
    address = f"localhost:{free_port()}"
    return [[f"--coordinator={address}", f"--num_processes={count}", f"--process_id={i}"] for i in range(count)]


def pod(*args: str, own: tuple[tuple[str, ...], ...] = ((), ())) -> list[subprocess.Popen]:
    """Starts main.py in as many processes as `own` has entries, each with its own further options."""
    return [main(*args, *mine, *flags) for mine, flags in zip(own, joining(len(own)), strict=True)]


def finish(processes: list[subprocess.Popen], seconds: float = 300.0) -> list[tuple[int, str, str]]:
    """Waits for all; their exit codes, outputs and errors. None is left running."""
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, outputs, strict=True)]
