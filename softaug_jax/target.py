"""Which platform programs are compiled for: JAX's own, unless a program is compiled for a machine that is not here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_CHOSEN: ContextVar[str | None] = ContextVar("platform", default=None)


def platform() -> str:
    """ "cpu", "gpu" or "tpu": what to choose by wherever a program depends on the platform."""
    return _CHOSEN.get() or jax.default_backend()


def is_alone() -> bool:
    """Whether there is one device, so that nothing is summed across devices."""
    return _CHOSEN.get() is None and jax.device_count() == 1


@contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Within it `platform()` is the given one, whatever devices JAX has."""
    token = _CHOSEN.set(platform)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
