"""What the TPU compiler says of training and evaluation on a slice of TPUs, with no TPU at hand.

  python -m benchmarks.tpu_compile --topology=v5e:16x16 --config=configs/cifar100_sa.py:policy=randaugment
      [--config.FIELD=VALUE] [--per_chip=128] [--program=step|dispatch|eval] [--out=FILE.json]

Needs `pip install "jax[tpu]"`, whose compiler runs on any Linux machine: a minute or several for one program. Without
--per_chip the config's batch is divided over the chips. The compiler estimates each operation's cycles but those of
collectives and gathers, for which benchmarks/tpu_chips.py has link rates and cycles a slice, and of kernels by Pallas,
which count as none. So the images per second are a prediction, from assumed clocks, and have not been measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # this is no cloud machine to ask about its TPUs

from benchmarks import hlo, machine
from benchmarks.programs import PROGRAMS, Program, trace
from benchmarks.tpu_chips import Slice, slice_of
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of, quiet
from softaug_jax.commands import Parser, as_command
from softaug_jax.run_files import write_json

TINY_BYTES = 64 * 1024


def devices_of(where: Slice) -> list[Any]:
    """The slice's devices, to compile for; UsageError where there is no TPU compiler."""
    from jax.experimental import topologies

    try:
        described = topologies.get_topology_desc(where.topology, platform="tpu", **where.chip.kwargs)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"--topology={where.topology}: no compiler for it ({error}). make test-tpu makes an environment that has "
            'one: run .venv-tpu/bin/python -m benchmarks.tpu_compile. Or pip install "jax[tpu]" into another.'
        ) from None
    return list(described.devices)


def describe(compiled: Any, what: Program, where: Slice) -> dict[str, Any]:
    """Figures of a compiled program, all of one chip and one step."""
    found = hlo.with_gathers(hlo.operations(compiled.as_text()), where.chip.gather_cycles)
    cycles = hlo.cycles_by_part(found, what.outside)
    waits = list(hlo.collectives(found))
    compute_s = sum(cycles.values()) / what.steps / where.chip.clock_hz
    collectives_s = sum(where.all_reduce_s(o.bytes) * o.times for o in waits) / what.steps
    seconds = compute_s + collectives_s
    per_chip = what.images / where.chips
    return {
        "chips": where.chips,
        "images_per_chip": per_chip,
        "memory": memory(compiled.memory_analysis(), where.chip.hbm_bytes),
        "collectives": summary(waits, what.steps),
        "cycles": {part: cycles[part] // what.steps for part in hlo.PARTS},
        "kernels": sum(o.times for o in found if o.is_kernel) / what.steps,
        "gathered_slices": sum(o.gathered * o.times for o in found) // what.steps,
        "augmentation_cycles": {
            name: count // what.steps for name, count in sorted(hlo.cycles_by_scope(found, "augment").items())
        },
        "compute_ms": 1e3 * compute_s,
        "collectives_ms": 1e3 * collectives_s,
        "images_per_second_per_chip": per_chip / seconds,
        "share_of_peak": what.flops / where.chips / seconds / where.chip.peak_flops,
        "model_flops_per_image": what.flops / what.images,
    }


def memory(analysis: Any, hbm_bytes: float) -> dict[str, float]:
    """Bytes on one chip; donated arguments are counted once."""
    sizes = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "code": analysis.generated_code_size_in_bytes,
    }
    total = sum(sizes.values())
    return {**sizes, "total": total, "share_of_hbm": total / hbm_bytes}


def summary(waits: Iterable[hlo.Operation], steps: int) -> list[dict[str, Any]]:
    """Collectives by kind and dtype: how many a step, how many of them tiny, and their bytes."""
    count: Counter[tuple[str, str]] = Counter()
    tiny, size = count.copy(), count.copy()
    for operation in waits:
        key = operation.opcode.removesuffix("-start"), "+".join(sorted({dtype for dtype, _ in operation.arrays}))
        count[key] += operation.times
        tiny[key] += operation.times * (operation.bytes < TINY_BYTES)
        size[key] += operation.times * operation.bytes
    return [
        {
            "kind": kind,
            "dtype": dtype,
            "count": count[kind, dtype] / steps,
            "tiny": tiny[kind, dtype] / steps,
            "bytes": size[kind, dtype] / steps,
        }
        for kind, dtype in sorted(count)
    ]


def table(record: dict[str, Any]) -> str:
    """The record in a few lines."""
    m, cycles = record["memory"], record["cycles"]
    total = sum(cycles.values())
    lines = [
        f"{record['topology']}, {record['chips']} chips, {record['images_per_chip']:g} images a chip and step",
        "memory        "
        + ", ".join(f"{name} {m[name] / 1e6:.0f} MB" for name in list(m)[:4])
        + f": {m['share_of_hbm']:.1%} of the chip's",
        *(
            f"collectives   {c['count']:g} {c['kind']} of {c['dtype']}, {c['tiny']:g} of them below 64 kB, "
            f"{c['bytes'] / 1e6:.2f} MB"
            for c in record["collectives"]
        ),
        "cycles        "
        + ", ".join(f"{part} {cycles[part] / total:.1%}" for part in cycles if cycles[part])
        + f" of {total / 1e6:.2f} million",
        "augmentation  "
        + ", ".join(f"{name} {count / total:.2%}" for name, count in record["augmentation_cycles"].items()),
    ]
    if slices := record.get("gathered_slices"):
        lines.append(f"gathers       {slices} slices, at {record['assumed']['gather_cycles']:g} cycles each")
    if kernels := record.get("kernels"):
        lines.append(f"kernels       {kernels:g}, of which no cycles are known")
    lines.append(
        f"predicted     {record['compute_ms']:.2f} ms + collectives {record['collectives_ms']:.2f} ms a step: "
        f"{record['images_per_second_per_chip']:,.0f} images/s a chip, {record['share_of_peak']:.0%} of its peak rate"
    )
    return "\n".join(lines)


def measure(options: Iterable[str], topology: str, name: str, per_chip: int | None = None) -> dict[str, Any]:
    """Compiles and describes: the record that --out writes, but for where it comes from."""
    where, config = slice_of(topology), config_of(list(options))
    if per_chip:
        config.batch_size = config.eval_batch_size = per_chip * where.chips
    if (config.eval_batch_size if name == "eval" else config.batch_size) % where.chips:
        raise UsageError(f"The batch does not divide over {where.chips} chips of {topology}. Give --per_chip=128.")
    what = trace(config, "tpu", devices_of(where), name)
    start = time.perf_counter()
    compiled = what.lowered.compile()
    return {
        "config": list(options),
        "model": config.model.name,
        "topology": topology,
        "program": name,
        **describe(compiled, what, where),
        "assumed": {**where.chip._asdict(), "links": where.links, "hops": where.hops},
        "compile_seconds": round(time.perf_counter() - start, 1),
    }


@as_command
def main(words: list[str]) -> int:
    """Compiles, writes the record and prints the table."""
    quiet()
    parser = Parser(
        prog="python -m benchmarks.tpu_compile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--topology", required=True, help="as in v5e:16x16 or v4:2x2x1")
    parser.add_argument("--program", choices=PROGRAMS, default="step")
    parser.add_argument("--per_chip", type=int, help="images a chip and step; default: the config's batch, divided")
    parser.add_argument("--out", type=Path, help="JSON file of the record; one that is there is kept, and shown")
    arguments, options = parser.parse_known_args(words)
    if arguments.out and arguments.out.exists():
        record = json.loads(arguments.out.read_text())
    else:
        record = machine.provenance("benchmarks.tpu_compile", words, f"none: compiled for {arguments.topology}")
        record |= measure(options, arguments.topology, arguments.program, arguments.per_chip)
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(arguments.out, record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
