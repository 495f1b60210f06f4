"""What is assumed of each TPU: clock, peak rate, memory and links, per chip. Data, with where each figure is from."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from softaug_jax.checks import UsageError

GIB = 2**30
HOP_LATENCY_S = 1e-6  # "How to Scale Your Model" (jax-ml.github.io/scaling-book): about a microsecond a hop


class Chip(NamedTuple):
    """One chip. Cloud pages are cloud.google.com/tpu/docs/{v4, v5e, v5p, v6e}."""

    clock_hz: float  # what turns the compiler's cycles into seconds
    peak_flops: float  # bfloat16, per second (Cloud page)
    hbm_bytes: float  # Cloud page
    link_bytes_per_s: float  # one link, one direction: Cloud page's rate per chip over its number of links
    gather_cycles: float  # of one number or short slice: the compiler's cost model, of 128 x 1024 gathered numbers
    wrap: int  # an axis closes to a ring if its length is a multiple of this (Cloud page, topology)
    kwargs: dict[str, Any]  # what the compiler must be told of such a chip


CHIPS: dict[str, Chip] = {
    # 1.05 GHz: Jouppi et al., "TPU v4", ISCA 2023, table 4. 2400 Gbit/s over 6 links. The two cores work as one.
    "v4": Chip(1.05e9, 275e12, 32 * GIB, 50e9, 5.0, 4, {"chip_config_name": "megacore"}),
    # 1.5 GHz: the peak rate over 4 units of 128 x 128 multiplications and additions. 1600 Gbit/s over 4 links.
    "v5e": Chip(1.5e9, 197e12, 16 * GIB, 50e9, 9.5, 16, {}),
    # 1.75 GHz: the peak rate over 8 such units. 4800 Gbit/s over 6 links.
    "v5p": Chip(1.75e9, 459e12, 95 * GIB, 100e9, 3.5, 4, {}),
    # Not published. 1.75 GHz is the peak rate over 4 x 256 x 256, though the Cloud page has 2 units; the compiler's own
    # figures for a large matrix product and for a copy would fit 2.2 GHz. 3200 Gbit/s over 4 links.
    "v6e": Chip(1.75e9, 918e12, 32 * GIB, 100e9, 5.0, 16, {}),
}


class Slice(NamedTuple):
    """Chips of one kind in a box, as in "v5e:4x4"."""

    topology: str
    chip: Chip
    shape: tuple[int, ...]

    @property
    def chips(self) -> int:
        return math.prod(self.shape)

    @property
    def links(self) -> int:
        """Links of a chip that an all-reduce over the slice can use."""
        return sum(2 if side % self.chip.wrap == 0 else 1 for side in self.shape if side > 1)

    @property
    def hops(self) -> int:
        """How far the farthest chip is."""
        return sum(side // 2 if side % self.chip.wrap == 0 else side - 1 for side in self.shape)

    def all_reduce_s(self, size_bytes: float) -> float:
        """Seconds of one all-reduce over the whole slice: there and back to the farthest chip, plus a ring's traffic.

        Every chip sends 2 (n - 1) / n of the bytes. Contention and start-up are not in it, nor is overlap with compute.
        """
        if self.chips == 1:
            return 0.0
        traffic = 2.0 * (self.chips - 1) / self.chips * size_bytes
        return 2 * self.hops * HOP_LATENCY_S + traffic / (self.links * self.chip.link_bytes_per_s)


def slice_of(topology: str) -> Slice:
    """Reads "v5e:16x16"; UsageError if the chip is unknown or the shape not whole numbers."""
    name, _, sides = topology.partition(":")
    if name not in CHIPS:
        raise UsageError(f"--topology={topology}: the chip {name!r} is unknown. Choose from {', '.join(CHIPS)}.")
    parts = sides.split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--topology={topology}: {sides!r} is no shape. Write it as in v5e:4x4 or v4:2x2x1.")
    return Slice(topology, CHIPS[name], tuple(int(part) for part in parts))
