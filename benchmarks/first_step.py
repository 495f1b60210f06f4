"""From the command to the end of the first step, and what of that is compilation.

  python -m benchmarks.first_step --data_dir=DIR [--model=...] [--batch_size=...] [--cases=...]

Each is a process of its own: without the persistent compilation cache, with an empty one, and with the one that the
process before filled. The options are those of benchmarks.throughput, the first of each list.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import machine
from benchmarks.throughput_cases import add_options, config_for, settings, to_words
from softaug_jax.commands import Parser, as_command

# Parts of the time by the events in which JAX tells them, in seconds.
EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace_seconds",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower_seconds",
    "/jax/core/compile/backend_compile_duration": "compile_seconds",
    "/jax/compilation_cache/cache_retrieval_time_sec": "read_cache_seconds",
}


def in_children(options: argparse.Namespace, extra: Sequence[str]) -> dict[str, Any]:
    """Seconds by kind of start: "no_cache", "cold_cache", "warm_cache"."""
    with tempfile.TemporaryDirectory() as folder:
        starts = {"no_cache": None, "cold_cache": folder, "warm_cache": folder}
        return {name: _in_child(options, extra, cache) for name, cache in starts.items()}


def _in_child(options: argparse.Namespace, extra: Sequence[str], cache: str | None) -> dict[str, float]:
    environment = {**machine.environment(), "JAX_ENABLE_COMPILATION_CACHE": str(cache is not None)}
    if cache is not None:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    words = [f"--began={time.time()}", *to_words(options), "--", *extra]
    return machine.answer("benchmarks.first_step", words, environment, "times the first step")


def table(startup: dict[str, Any]) -> list[str]:
    """The figures, a line a start."""
    return [
        f"  start, {name:10s} {s['first_step_seconds']:6.1f} s to the end of the first step, "
        f"compilation {s['compile_seconds']:.1f} s"
        for name, s in startup.items()
    ]


def measured(options: argparse.Namespace, extra: Sequence[str]) -> dict[str, float]:
    """Runs the first dispatch; seconds since `options.began`, a time.time(), and of the parts."""
    import jax

    from benchmarks import training

    seconds = dict.fromkeys(EVENTS.values(), 0.0)

    def note(event: str, duration: float, **_: Any) -> None:
        if event in EVENTS:
            seconds[EVENTS[event]] += duration

    jax.monitoring.register_event_duration_secs_listener(note)
    jax.devices()
    marks = {"device_seconds": time.time() - options.began}
    arrays, about = training.data_of(options.dataset, options.data_dir, options.random, options.image_px)
    setting = next(settings(options))
    config = config_for(options.dataset, options.cases[-1], setting, extra)
    run = training.start(config, arrays, about)
    jax.block_until_ready(run.state)
    marks["state_seconds"] = time.time() - options.began
    run.advance(setting.steps_per_dispatch)
    marks["first_step_seconds"] = time.time() - options.began
    return {**marks, **seconds}


@as_command
def main(words: list[str]) -> int:
    """Prints the seconds as JSON: of this process with --began, else of the three kinds of start."""
    parser = Parser(prog="python -m benchmarks.first_step", description="From the command to the first step.")
    add_options(parser)
    parser.add_argument("--began", type=float, help="when the command was given, as a time.time()")
    options, extra = parser.parse_with_extra(words)
    print(json.dumps(measured(options, extra) if options.began else in_children(options, extra)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
