"""The figures of a finished run, and what they were measured with."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import jax

from softaug_jax.train import setup

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python, this package and the packages that compute."""
    from softaug_jax import __version__

    return {
        "python": platform.python_version(),
        "softaug_jax": __version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def summarize(config: Any, figures: dict[str, Any], **measured: Any) -> dict[str, Any]:
    """What summary.json holds. Errors and ECE are fractions in [0, 1]; the final evaluation's, not the best."""
    return {
        "config": config.name,
        "method": setup.method(config),
        "dataset": config.dataset,
        "model": config.model.name,
        "seed": config.seed,
        "epochs": config.epochs,
        **measured,
        **figures,
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "versions": versions(),
    }


def describe(figures: dict[str, Any]) -> str:
    """The figures that are numbers, one a line."""
    percent = lambda name: "error" in name or name == "ece"
    return "\n".join(
        f"  {name:28s} {value:.2%}" if percent(name) else f"  {name:28s} {value:,.4g}"
        for name, value in figures.items()
        if isinstance(value, (int, float))
    )
