"""What this machine can do: measured copy bandwidth, matrix rates, and the rates of a network's own convolutions.

  python -m benchmarks.roofline [--model=resnet18] [--dataset=cifar10] [--batch_size=128,1024] [--json=FILE]

Each figure is a jitted function of a few independent operations of one kind, called again and again without waiting
in between, so that launches are hidden wherever the device takes longer than the host. The record is written after each
kind and batch, so that what ends the process leaves what was seen.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from softaug_jax.commands import Parser, as_command, positive, several
from softaug_jax.run_files import write_json

MATRIX_SIZES = (1024, 2048, 4096, 8192)
COPY_MIB = (1, 16, 256, 1024)
CPU_MATRIX_SIZES, CPU_COPY_MIB = (128, 512), (1, 16)
PRECISIONS = {"bfloat16": ("bfloat16", "default"), "tf32": ("float32", "default"), "float32": ("float32", "highest")}
BUDGET_BYTES = 2**32  # of the arrays that are timed at once


def seconds_of(function: Callable[..., Any], *arguments: Any, seconds: float = 0.2, repeats: int = 3) -> float:
    """Seconds that one call takes, when many are under way: the median of a few measurements."""
    import jax

    jax.block_until_ready(function(*arguments))
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    calls = min(1000, max(2, math.ceil(seconds / max(time.perf_counter() - start, 1e-6))))
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            result = function(*arguments)
        jax.block_until_ready(result)
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)


def matrix_rate(size: int, precision: str, **timing: Any) -> float:
    """Floating-point operations per second of the product of two square matrices, two a multiplication and addition.

    Args:
      size: rows and columns.
      precision: a key of PRECISIONS; "tf32" is a GPU's default for float32, elsewhere it is what the default is there.
      **timing: of `seconds_of`.
    """
    import jax
    import jax.numpy as jnp

    dtype, name = PRECISIONS[precision]
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=name))
    return 2.0 * size**3 / seconds_of(product, a, a, **timing)


def best_matrix_rate(dtype: str) -> float:
    """The largest rate over the sizes, for activations of this dtype: what a share of the matrix rate is of."""
    precision = "bfloat16" if dtype == "bfloat16" else "tf32"
    return max(matrix_rate(size, precision) for size in _sizes(MATRIX_SIZES, CPU_MATRIX_SIZES))


def copy_rate(mib: int, **timing: Any) -> float:
    """Bytes read and written per second by a kernel that adds 1 to an array of so many MiB."""
    import jax
    import jax.numpy as jnp

    x = jnp.zeros(mib * 2**20 // 4, jnp.float32)
    return 2.0 * x.nbytes / seconds_of(jax.jit(lambda x: x + 1), x, **timing)


def _sizes(sizes: Sequence[int], on_cpu: Sequence[int]) -> Sequence[int]:
    import jax

    return on_cpu if jax.default_backend() == "cpu" else sizes


@as_command
def main(words: list[str]) -> int:
    """Measures, writes the record and prints the table."""
    options = _parser().parse_args(words)
    record = measured(options, words, lambda record: write_json(options.json, record) if options.json else None)
    print(table(record))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.roofline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet18", help="whose convolutions are timed")
    parser.add_argument("--dataset", default="cifar10", choices=["cifar10", "cifar100", "digits"])
    parser.add_argument(
        "--image_px", type=positive, default=0, help="side of the images, as in 224; default: the set's"
    )
    parser.add_argument("--batch_size", type=several(positive), default=[128, 1024])
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement; the median of 3 counts")
    parser.add_argument("--json", type=Path, help="where to write the record")
    return parser


def measured(
    options: argparse.Namespace, words: Sequence[str], save: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """The record, which `save` gets whenever there is more of it."""
    from benchmarks import convolutions

    record = machine.jax_provenance("benchmarks.roofline", words)
    timing = {"seconds": options.seconds}
    sizes, mib = _sizes(MATRIX_SIZES, CPU_MATRIX_SIZES), _sizes(COPY_MIB, CPU_COPY_MIB)
    record["copy_bytes_per_second"] = {f"{size} MiB": copy_rate(size, **timing) for size in mib}
    save(record)
    record["matrix_flops_per_second"] = {}
    for precision in PRECISIONS:
        rates = {str(size): matrix_rate(size, precision, **timing) for size in sizes}
        record["matrix_flops_per_second"][precision] = rates
        save(record)
    record["convolutions"] = {}
    for batch in options.batch_size:
        record["convolutions"][str(batch)] = convolutions.measured(
            options.model, options.dataset, batch, options.dtype, options.image_px, BUDGET_BYTES, **timing
        )
        save(record)
    return record


def table(record: dict[str, Any]) -> str:
    """The record's figures, short."""
    lines = [f"{record['device']}, load {record['load']}, commit {record['commit']}"]
    size, rate = list(record["copy_bytes_per_second"].items())[-1]  # smaller ones may lie in the cache
    lines.append(f"  copy of {size}: {rate / 1e9:,.0f} GB/s")
    for precision, rates in record.get("matrix_flops_per_second", {}).items():
        lines.append(f"  {precision:9s} {max(rates.values()) / 1e12:8.2f} TFLOP/s")
    for batch, found in record.get("convolutions", {}).items():
        lines.append(
            f"  {found['name']}, batch {batch}: convolutions alone {1e3 * found['seconds_per_step']:.3f} ms a step, "
            f"no more than {found['images_per_second_at_most']:,.0f} images/s"
        )
        for kind, figures in found["kinds"].items():
            lines.append(
                f"    {kind:15s} {figures['count']:3d}  {1e3 * figures['seconds']:8.3f} ms"
                f"  {figures['flops'] / figures['seconds'] / 1e12:7.2f} TFLOP/s"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
