"""Runs of several processes on this machine, for the tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

from absl import flags

from softaug_jax.train import distributed
from tests import xla
from tests.train.helpers import ROOT, main


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return int(s.getsockname()[1])


def joining(count: int) -> list[list[str]]:
    """For each process, the flags that join it to the others."""
    address = f"localhost:{free_port()}"
    return [[f"--coordinator={address}", f"--num_processes={count}", f"--process_id={i}"] for i in range(count)]


@contextlib.contextmanager
def running(processes: list[subprocess.Popen]) -> Iterator[list[subprocess.Popen]]:
    """Leaves none of them running, whatever happens."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def pod(*args: str, own: tuple[tuple[str, ...], ...] = ((), ())) -> AbstractContextManager[list[subprocess.Popen]]:
    """Runs main.py in as many processes as `own` has entries, each with its own further options."""
    return running([main(*args, *mine, *flags) for mine, flags in zip(own, joining(len(own)), strict=True)])


def workers(module: str, folder: object) -> AbstractContextManager[list[subprocess.Popen]]:
    """Runs a module of the tests in two processes, which get the flags that join them, and the folder."""
    env = {**os.environ, "XLA_FLAGS": xla.flags(devices=1), "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    commands = [[sys.executable, "-m", module, *joining, str(folder)] for joining in joining(2)]
    return running([subprocess.Popen(command, cwd=ROOT, env=env, **pipes) for command in commands])


def joined(argv: list[str]) -> AbstractContextManager[distributed.Peers]:
    """Joins the processes, in one of `workers`, by its command line."""
    values = flags.FlagValues()
    distributed.define_flags(values)
    values(argv)
    return distributed.joined(values)


def finish(processes: list[subprocess.Popen], seconds: float = 300.0) -> list[tuple[int, str, str]]:
    """Waits for all; their exit codes, outputs and errors."""
    outputs = [process.communicate(timeout=seconds) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, outputs, strict=True)]
