"""Functions of images under a mesh of explicit axes, where arrays' types say how they are split over devices.

`jax.make_mesh` makes such a mesh by default. Within a function a type would have to be given to every gather and
product of what is split and what is not; XLA does without, as it does under a mesh of automatic axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def as_automatic(function: Callable[..., Any], images: jax.Array, *others: Any) -> Any:
    """`function(images, *others)`, whose results are split over devices as the images [..., H, W, C] are."""
    mesh, spec = jax.typeof(images).sharding.mesh, jax.typeof(images).sharding.spec
    if AxisType.Explicit not in mesh.axis_types:
        return function(images, *others)
    split = NamedSharding(mesh, PartitionSpec(*spec[:-3]))
    return jax.sharding.auto_axes(function, out_sharding=split)(images, *others)
