"""Devices as a mesh with one axis, `data`: the batch is split over it, everything else is on every device."""

from __future__ import annotations

from typing import NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


class Shardings(NamedTuple):
    """Where arrays live."""

    mesh: Mesh
    batch: NamedSharding  # leading axis over `data`
    replicated: NamedSharding


def over(devices: list[jax.Device] | None = None) -> Shardings:
    """Shardings over the given devices, or over all."""
    devices = devices or jax.devices()
    # Automatic axes: jax 0.11's integer-label cross entropy fails under the default explicit ones.
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    return Shardings(mesh, NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec()))
