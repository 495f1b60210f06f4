"""Which machine programs are compiled for: JAX's own devices, unless it is one that is not here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding


class Target(NamedTuple):
    """A machine that is not here."""

    platform: str  # "cpu", "gpu" or "tpu"
    num_devices: int


_CHOSEN: ContextVar[Target | None] = ContextVar("target", default=None)
_SPLIT: ContextVar[NamedSharding | None] = ContextVar("split", default=None)


def platform() -> str:
    """ "cpu", "gpu" or "tpu": what to choose by wherever a program depends on the platform."""
    chosen = _CHOSEN.get()
    return chosen.platform if chosen else jax.default_backend()


def is_alone() -> bool:
    """Whether there is one device, so that nothing is summed across devices."""
    chosen = _CHOSEN.get()
    return (chosen.num_devices if chosen else jax.device_count()) == 1


@contextmanager
def compiling_for(platform: str, num_devices: int) -> Iterator[None]:
    """Within it `platform()` and `is_alone()` tell of that machine, whatever devices JAX has.

    Programs are to be both built and traced (`lower`) within it.
    """
    token = _CHOSEN.set(Target(platform, num_devices))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def split() -> NamedSharding | None:
    """How the batch of the program that is being traced is split over devices; None: that is not known."""
    return _SPLIT.get()


@contextmanager
def splitting(sharding: NamedSharding) -> Iterator[None]:
    """Within it `split()` is this sharding."""
    token = _SPLIT.set(sharding)
    try:
        yield
    finally:
        _SPLIT.reset(token)
