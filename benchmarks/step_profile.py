"""Where the time of a training step goes, by kind of operation, from JAX's own trace.

  python -m benchmarks.step_profile --out=DIR --data_dir=DIR [--model=...] [--batch_size=...] [--cases=...]

The trace (jax.profiler; DIR can be opened in Perfetto or XProf) names each kernel's HLO operation, and the compiled
programs' own text says what that operation holds: nothing but JAX is needed to join them. A fusion counts for the
heaviest kind in it, in the order of benchmarks/hlo_kinds.py. On a GPU the process runs without command buffers,
since a graph's kernels do not name their operations: shares are of that program, not of the fastest one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import hlo_kinds, machine
from benchmarks.throughput_cases import FLOOR, add_options, config_for, settings, to_words
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command, positive
from softaug_jax.run_files import write_json

NO_GRAPHS = "--xla_gpu_enable_command_buffer="


class Event(NamedTuple):
    """One run of an operation."""

    module: str
    operation: str
    seconds: float


def in_children(options: argparse.Namespace, extra: Sequence[str], out: Path) -> dict[str, Any]:
    """The summary of each case, traced into a folder of `out` by a process of its own."""
    return {case: _in_child(options, extra, case, out / case) for case in options.cases}


def _in_child(options: argparse.Namespace, extra: Sequence[str], case: str, out: Path) -> dict[str, Any]:
    one = argparse.Namespace(**{**vars(options), "cases": [case]})
    words = [f"--out={out}", *to_words(one), "--", *extra]
    return machine.answer("benchmarks.step_profile", words, machine.environment(), f"traces {case}")


def table(profile: dict[str, Any]) -> list[str]:
    """Shares by kind, a line a case."""
    return [
        f"  {case:14s} "
        + ", ".join(f"{kind} {share:.0%}" for kind, share in summary["share"].items() if share >= 0.005)
        for case, summary in profile.items()
    ]


def events(trace: Path) -> Iterator[Event]:
    """The operations in a folder that jax.profiler wrote, those on devices if there are any."""
    import jax

    for file in sorted(trace.glob("plugins/profile/*/*.xplane.pb")):
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
        on_devices = [plane for plane in planes if plane.name.startswith("/device:")]
        lines = [line for plane in on_devices or planes for line in plane.lines]
        streams = [line for line in lines if line.name.startswith("Stream")]  # a GPU's; others repeat what is in them
        for line in streams or lines:
            for event in line.events:
                stats = dict(event.stats)
                if "hlo_op" in stats:
                    yield Event(
                        str(stats.get("hlo_module")).partition("(")[0], str(stats["hlo_op"]), event.duration_ns / 1e9
                    )


def programs() -> dict[str, str]:
    """The text of this process's compiled programs, by name."""
    import jax

    modules = [m for e in jax.devices()[0].client.live_executables() for m in e.hlo_modules()]
    return {module.name: module.to_string() for module in modules}


def summarised(found: Sequence[Event], texts: dict[str, str], steps: int) -> dict[str, Any]:
    """Seconds a step and shares by kind, and the operations that took longest."""
    kinds = {name: hlo_kinds.kinds(text) for name, text in texts.items()}
    by_kind: Counter[Any] = Counter()
    by_operation: Counter[Any] = Counter()
    for event in found:
        kind = kinds.get(event.module, {}).get(event.operation, "unknown")
        if kind != hlo_kinds.CONTAINER:  # what it holds is in the trace too
            by_kind[kind] += event.seconds
            by_operation[event.operation, kind] += event.seconds
    total = sum(by_kind.values())
    if not total:
        raise UsageError("The trace names no HLO operation: this device's profiler can't be summarised.")
    return {
        "operation_seconds_per_step": total / steps,
        "share": {kind: seconds / total for kind, seconds in by_kind.most_common()},
        "longest": [
            {"operation": name, "kind": kind, "share": seconds / total}
            for (name, kind), seconds in by_operation.most_common(10)
        ],
    }


def measured(options: argparse.Namespace, extra: Sequence[str]) -> dict[str, Any]:
    """Traces a few dispatches of the first case, all of one epoch, after it is warm."""
    if "--xla_gpu_enable_command_buffer" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {NO_GRAPHS}".strip()
    import jax

    from benchmarks import training

    arrays, about = training.data_of(options.dataset, options.data_dir, options.random, options.image_px)
    setting = next(settings(options))
    case, many = options.cases[0], setting.steps_per_dispatch
    config = config_for(options.dataset, case, setting, extra)
    run = training.start(config, arrays, about, constant=case == FLOOR)
    room = run.parts.schedule.fewest_steps // many  # for dispatches of many steps in an epoch
    run.advance(many)
    if room <= options.dispatches:
        run.epoch()
    steps = many * min(options.dispatches, room)
    with jax.profiler.trace(str(options.out)):
        run.advance(steps)
    return {"name": f"{setting.name}, {case}", **summarised(list(events(options.out)), programs(), steps)}


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.step_profile", description="Where the time of a step goes, by kind of operation."
    )
    add_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="where to write the trace")
    parser.add_argument("--dispatches", type=positive, default=2, help="to trace; default: 2")
    parser.add_argument("--json", type=Path, help="where to write the record")
    return parser


@as_command
def main(words: list[str]) -> int:
    """Prints the summary as JSON, and writes the record."""
    options, extra = _parser().parse_with_extra(words)
    load = machine.load()  # before the profile, which is a load itself
    summary = measured(options, extra)
    if options.json:
        record = {**machine.jax_provenance("benchmarks.step_profile", words), "load": load}
        write_json(options.json, {**record, "profile": {options.cases[0]: summary}})
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
