"""What XLA makes of training and evaluation for a GPU, with no GPU at hand: kernels and bytes by part of the step.

  python -m benchmarks.gpu_compile --gpu=h100 --config=configs/cifar10_sa.py [--config.FIELD=VALUE]
      [--program=step|dispatch|eval] [--text=FILE] [--out=FILE.json]

Needs `pip install "jax[cuda13]"`, whose compiler runs on any Linux machine: half a minute a program. Nothing is tried
out on a device, so that algorithms are the defaults, and the time is a prediction: bytes by the data sheet's bandwidth,
convolutions by an assumed rate, and a fixed time for each kernel (benchmarks/gpu_chips.py). Bytes are those of whole
operands and results: what stays in the cache counts, and what a gather leaves out does too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

from benchmarks import hlo, machine
from benchmarks.gpu_chips import GPUS, Gpu
from benchmarks.programs import PROGRAMS, Program, trace
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of, quiet
from softaug_jax.commands import Parser, as_command
from softaug_jax.run_files import write_json

# Operations that launch nothing.
FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "while", "conditional", "call",
    "fusion-start", "fusion-done", "async-start", "async-update", "async-done",
}  # fmt: skip


def device_of(gpu: Gpu) -> Any:
    """The GPU, to compile for; UsageError where there is no compiler for it."""
    from jax.experimental import topologies

    options = {"topology": "1x1x1", "target_config": gpu.target_config}
    try:
        return topologies.get_topology_desc("1x1x1", platform="cuda", **options).devices[0]
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise UsageError(f'No compiler for CUDA ({error}). Install one: pip install "jax[cuda13]".') from None


def kernels_by_part(found: Iterable[hlo.Operation], outside: str) -> dict[str, dict[str, int]]:
    """Of each part of the program: kernels, those of them that move less than 1 MB, and bytes read and written."""
    count: Counter[str] = Counter()
    small, size = count.copy(), count.copy()
    for operation in found:
        if operation.opcode in FREE:
            continue
        part, moved = hlo.part_of(operation.path, outside), operation.bytes + operation.read
        if "custom-call" in operation.opcode:
            part = "convolution"
        count[part] += operation.times
        small[part] += operation.times * (moved < 1e6)
        size[part] += operation.times * moved
    return {part: {"kernels": count[part], "small": small[part], "bytes": size[part]} for part in sorted(count)}


def describe(text: str, what: Program, gpu: Gpu) -> dict[str, Any]:
    """Figures of a compiled program, of one step."""
    found = kernels_by_part(hlo.operations(text), what.outside)
    parts = {part: {name: value / what.steps for name, value in figures.items()} for part, figures in found.items()}
    total = {name: sum(figures[name] for figures in parts.values()) for name in ("kernels", "small", "bytes")}
    milliseconds = {
        "bytes": 1e3 * total["bytes"] / gpu.bandwidth,
        "convolutions": 1e3 * what.flops / gpu.convolution_flops,
        "kernels": 1e3 * total["kernels"] * gpu.kernel_s,
    }
    return {
        "parts": parts,
        "total": total,
        "predicted_ms": milliseconds,
        "predicted_images_per_second": 1e3 * what.images / sum(milliseconds.values()),
    }


def table(record: dict[str, Any]) -> str:
    """The record in a few lines."""
    row = lambda name, f: f"{name:14s}{f['kernels']:8.1f}{f['small']:8.1f}{f['bytes'] / 1e6:10.1f}"
    lines = [f"{'':14s}{'kernels':>8s}{'< 1 MB':>8s}{'MB':>10s}"]
    lines += [row(part, figures) for part, figures in record["parts"].items()] + [row("in a step", record["total"])]
    terms = ", ".join(f"{name} {value:.2f} ms" for name, value in record["predicted_ms"].items())
    return "\n".join([*lines, f"predicted: {terms}; {record['predicted_images_per_second']:,.0f} images/s"])


@as_command
def main(words: list[str]) -> int:
    """Compiles, writes the record and prints the table."""
    quiet()
    parser = Parser(
        prog="python -m benchmarks.gpu_compile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gpu", choices=GPUS, default="h100")
    parser.add_argument("--program", choices=PROGRAMS, default="dispatch")
    parser.add_argument("--text", type=Path, help="where to write the compiled program")
    parser.add_argument("--out", type=Path, help="JSON file of the record")
    arguments, options = parser.parse_known_args(words)
    flags = f"--xla_gpu_autotune_level=0 {os.environ.get('XLA_FLAGS', '')}".strip()  # there is nothing to try it on
    os.environ["XLA_FLAGS"] = flags
    jax.config.update("jax_platforms", "cpu")
    config, gpu = config_of(options), GPUS[arguments.gpu]
    what = trace(config, "gpu", [device_of(gpu)], arguments.program)
    text = what.lowered.compile().as_text()
    if arguments.text:
        arguments.text.write_text(text)
    record = {
        **machine.provenance("benchmarks.gpu_compile", words, f"none: compiled for {arguments.gpu}"),
        "config": options,
        "model": config.model.name,
        "program": arguments.program,
        **describe(text, what, gpu),
        "assumed": gpu._asdict(),
    }
    if arguments.out:
        write_json(arguments.out, record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
