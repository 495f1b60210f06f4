"""The figures of a finished run, and what they were measured with."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from softaug_jax.tasks import task_of

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, this package and the packages that compute."""
    from softaug_jax import __version__

    return {
        "python": platform.python_version(),
        "softaug_jax": __version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """The checkout's commit, with "-dirty" if files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def summarize(config: Any, figures: dict[str, Any], **measured: Any) -> dict[str, Any]:
    """What summary.json holds. Errors and ECE are fractions in [0, 1]; the final evaluation's, not the best."""
    return {
        "config": config.name,
        "method": task_of(config).describe(config),
        "dataset": config.dataset,
        "model": config.model.name,
        "seed": config.seed,
        "epochs": config.epochs,
        **measured,
        **figures,
        **provenance(),
    }


def provenance() -> dict[str, Any]:
    """With what figures are measured now: devices, versions, commit, command and date."""
    return {
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "versions": versions(),
        "commit": commit(),
        "command": shlex.join(["python", *sys.argv]),
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    }


def describe(figures: dict[str, Any]) -> str:
    """The figures that are numbers, one a line."""
    percent = lambda name: "error" in name or name.endswith("ece")
    return "\n".join(
        f"  {name:28s} {value:.2%}" if percent(name) else f"  {name:28s} {value:,.4g}"
        for name, value in figures.items()
        if isinstance(value, (int, float))
    )
