"""Where a record of a benchmark on a device comes from: command, date, device, versions, commit, load."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMIT = "SOFTAUG_COMMIT"  # what records name where the checkout has no .git to ask
PACKAGES = (
    "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu", "flax", "optax", "numpy", "torch",
    "torchvision", "tensorflow-cpu", "pillow",
)  # fmt: skip
# What has the kernel end a child when its parent ends, however that ends.
WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--") if sys.platform == "linux" and shutil.which("setpriv") else ()


def provenance(module: str, words: Sequence[str], device: str, num_devices: int = 1) -> dict[str, Any]:
    """How a record came about. Call it before what it describes is measured, for the load.

    Args:
      module: the command, as after `python -m`.
      words: its arguments.
      device: kind of the device, as the library that ran on it names it.
      num_devices: how many of them.
    """
    from softaug_jax.train.summary import commit

    return {
        "command": shlex.join(["python", "-m", module, *words]),
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "device": device,
        "num_devices": num_devices,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": load(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "commit": commit() or os.environ.get(COMMIT),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES if installed(name)},
        },
    }


def jax_provenance(module: str, words: Sequence[str]) -> dict[str, Any]:
    """`provenance` on JAX's devices."""
    import jax

    return provenance(module, words, jax.devices()[0].device_kind, jax.device_count())


def load() -> float | None:
    """The load average of the last minute: to be asked before a measurement, whose own it is afterwards."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def installed(package: str) -> bool:
    """Whether there is such a package."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def has_gpu() -> bool:
    """Whether this machine shows a GPU by NVIDIA; asks no library, which would take its memory."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def python(module: str, *words: str) -> list[str]:
    """The command that runs a module of the checkout in this Python, as a child that does not outlive this process."""
    return [*WITH_PARENT, sys.executable, "-m", module, *words]


def answer(module: str, words: Sequence[str], environment: Mapping[str, str], what: str) -> dict[str, Any]:
    """The JSON object that a module, run in a process of its own, ends its output with.

    Raises:
      UsageError: if it fails; `what` says what it does.
    """
    from softaug_jax.checks import UsageError  # late: it imports jax, before which some benchmarks choose a core

    done = subprocess.run(python(module, *words), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"The process that {what} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def environment() -> dict[str, str]:
    """For children: this process's environment, with the checkout importable from any folder."""
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
