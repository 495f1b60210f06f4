"""Devices as a mesh with one axis, `data`: the batch is split over it, everything else is on every device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


class Shardings(NamedTuple):
    """Where arrays live."""

    mesh: Mesh
    batch: NamedSharding  # leading axis over `data`
    replicated: NamedSharding


def over(devices: list[jax.Device] | None = None) -> Shardings:
    """Shardings over the given devices, or over all."""
    ordered = in_order(devices or jax.devices())
    # Automatic axes: jax 0.11's integer-label cross entropy fails under the default explicit ones.
    mesh = Mesh(np.asarray(ordered), ("data",), axis_types=(AxisType.Auto,))
    return Shardings(mesh, NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec()))


def in_order(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """The devices, process after process, so that each holds one contiguous part of a batch, as it is dealt out.

    On a TPU slice neither their numbers nor `jax.make_mesh` keep a host's devices together.
    """
    return sorted(devices, key=lambda device: (device.process_index, device.id))
