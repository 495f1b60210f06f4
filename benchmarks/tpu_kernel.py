"""What the kernel that moves the pixels of large images takes on a TPU by its compiler's schedule, with no TPU at hand.

  python -m benchmarks.tpu_kernel --topology=v4:2x2x1 [--out=FILE.json]

Needs `pip install "jax[tpu]"`, as benchmarks.tpu_compile, which counts kernels as nothing: the compiler does not
estimate them. But it dumps a kernel's schedule, whose instructions a core takes one a cycle unless it waits. They are
counted here: how often each loop turns, for every operation of RandAugment with both signs, times the instructions of
the loop. So this is the least that the kernel takes; what it waits for is not known without a TPU.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine
from benchmarks.tpu_chips import slice_of
from benchmarks.tpu_compile import devices_of
from softaug_jax.augment import affine, affine_tpu
from softaug_jax.augment.magnitudes import randaugment_space
from softaug_jax.augment.policy import RandAugment
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command
from softaug_jax.run_files import write_json

SIZE = (224, 224)
IMAGES = 128  # a chip and step, as in docs/pods.md
_BUNDLE = re.compile(r"\s*(0x[0-9a-f]+)\s+(LB|PF|LH|LE)?\s*:?\s*(>*)\s*\{")  # address, start of a loop, its depth


class Schedule(NamedTuple):
    """Instructions of the kernel's loops."""

    level: int  # a row of blocks, in an image that keeps its rows
    slanting: int  # the same in another image, without
    turns: tuple[int, ...]  # one turn of the loop over rows, for each block of a row


def schedule(dumped: str) -> Schedule:
    """Reads the compiler's dump of its instructions; ValueError if the loops are not those of the kernel."""
    bundles = [(int(at, 16), kind, len(depth)) for at, kind, depth in _BUNDLE.findall(dumped)]
    starts = [(at, depth) for at, kind, depth in bundles if kind == "LB"]
    lengths = lambda depth: [(at, _end(at, depth, bundles)) for at, of in starts if of == depth]
    deepest = max((depth for _, depth in starts), default=0)
    turns = [b - a for a, b in lengths(deepest)]
    rows = [(b - a, sum(a < at < b for at, _ in lengths(deepest))) for a, b in lengths(deepest - 1)]
    if [inner for _, inner in rows] != [0, len(turns)] or len(turns) != -(-SIZE[1] // affine_tpu.LANES):
        raise ValueError(f"the loops are not as expected: of rows of blocks {rows}, of rows within a block {turns}")
    (level, _), (slanting, _) = rows
    return Schedule(level, slanting - sum(turns), tuple(turns))


def _end(start: int, depth: int, bundles: list[tuple[int, str, int]]) -> int:
    """Behind a loop's last bundle. Its own are marked by its depth, and the next loop may follow at once."""
    later = [bundle for bundle in bundles if bundle[0] > start]
    following = next((at for at, kind, of in later if kind == "LB" and of <= depth), float("inf"))
    return 1 + max((at for at, _, of in later if of >= depth and at < following), default=start)


def cycles(coefficients: np.ndarray, of: Schedule) -> int:
    """Of one image."""
    *_, yx, yy, y0 = coefficients.tolist()
    tops = np.arange(0, SIZE[0], affine_tpu.ROWS)
    if affine_tpu.is_level(yx, yy):
        return of.level * len(tops)
    total = of.slanting * len(tops)
    for group, instructions in enumerate(of.turns):
        _, turns = affine_tpu.span(yx, yy, y0, group * affine_tpu.LANES, tops, SIZE)
        total += instructions * int(turns.sum())
    return total


def compiled(topology: str) -> str:
    """The dump of the kernel's last schedule. Once a process: the compiler is told where to write when it is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIBTPU_INIT_ARGS"] = f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        import jax

        from softaug_jax.train import sharding

        devices = devices_of(slice_of(topology))
        split = sharding.over(devices).batch
        resample = jax.jit(partial(affine_tpu.resample, split=split), in_shardings=split, out_shardings=split)
        batch = 2 * len(devices)
        resample.lower(*(jax.ShapeDtypeStruct((batch, *shape), np.int32) for shape in (SIZE, (6,)))).compile()
        dumps = [path for path in Path(folder).glob("*custom_call*-final_bundles.txt") if "analysis" not in path.name]
        if len(dumps) != 1:
            raise UsageError(f"this compiler dumped {len(dumps)} schedules; that of libtpu 0.0.48 dumps one.")
        return dumps[0].read_text()


def measure(topology: str) -> dict[str, Any]:
    """The record but for where it comes from; `cycles` are of a chip, whose cores share the images."""
    dumped = compiled(topology)
    found, cores = schedule(dumped), 1 + ("megacore core id" in dumped)
    policy = RandAugment()
    drawn = affine.coefficients(randaugment_space(policy.num_bins, SIZE), SIZE)[:, policy.magnitude]
    of_images = [cycles(each, found) for each in drawn.reshape(-1, 6)]
    return {
        "topology": topology,
        "images_per_chip": IMAGES,
        "operations": policy.num_ops,
        "cores": cores,
        "schedule": found._asdict(),
        "cycles": round(np.mean(of_images) * IMAGES / cores * policy.num_ops),
    }


@as_command
def main(words: list[str]) -> int:
    """Compiles, writes the record and prints the cycles."""
    parser = Parser(
        prog="python -m benchmarks.tpu_kernel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--topology", required=True, help="as in v5e:2x2 or v4:2x2x1")
    parser.add_argument("--out", type=Path, help="JSON file of the record")
    arguments = parser.parse_args(words)
    record = machine.provenance("benchmarks.tpu_kernel", words, f"none: compiled for {arguments.topology}")
    record |= measure(arguments.topology)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out, record)
    work = f"RandAugment's {record['operations']} operations on {IMAGES} images of {SIZE[0]} x {SIZE[1]}"
    print(f"{work}, {arguments.topology}: at least {record['cycles'] / 1e6:.2f} million cycles")
    print(f"{record['cores']} core(s) a chip, instructions {record['schedule']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
