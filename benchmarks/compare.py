"""Our training and the PyTorch peers in turn on one machine: first whether they train alike, then how fast.

  python -m benchmarks.compare --config=configs/cifar10_sa.py [--peers=dataloader,gpu,gpu_graphs] [--epochs=5]
      [--seeds=0,1,2] [--rounds=2] [--json=FILE] [--config.FIELD=VALUE]

Each is a process of its own. They train the same config: with each seed for --epochs epochs, whose losses and final
errors must agree within what the seeds differ (benchmarks/agreement.py), and then, with the schedule as it is, round
after round in alternating order for images per second. Exit code 1 if they do not train alike; the ratios are then
recorded all the same. --epochs=0 leaves the first part out, --rounds=0 the second. A peer that fails is recorded with
its reason and left out from then on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import agreement, machine, rounds
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command, positive, several
from softaug_jax.run_files import read_json, write_json

OURS = "ours"
GRAPHS = "gpu_graphs"
PEERS = {  # their options
    "dataloader": ("--loader=dataloader",),
    "gpu": ("--loader=gpu",),
    GRAPHS: ("--loader=gpu", "--compile_mode=reduce-overhead"),  # by CUDA graphs
}


class Programs:
    """The commands of each side, and the process that runs one."""

    def __init__(self, options: argparse.Namespace, config_words: Sequence[str], folder: Path):
        self._options, self._config, self._folder = options, list(config_words), folder
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        self._environment = {**cache, **machine.environment()}

    def curves(self, name: str) -> dict[str, Any]:
        """Losses and errors of all seeds."""
        seeds = "--seeds=" + ",".join(map(str, self._options.seeds))
        mode = [] if name == OURS else ["--curve"]
        return self._run(name, [*mode, seeds, f"--config.epochs={self._options.epochs}"])

    def speed(self, name: str) -> dict[str, Any]:
        """Images per second."""
        o = self._options
        mode = ["--speed"] if name == OURS else []
        steps = [f"--steps={o.steps}"] if o.steps else []
        return self._run(name, [*mode, f"--rounds={o.laps}", f"--seconds={o.seconds}", *steps])

    def _run(self, name: str, words: Sequence[str]) -> dict[str, Any]:
        out = self._folder / "record.json"
        out.unlink(missing_ok=True)
        own = [] if name == OURS else [*PEERS[name], *self._options.peer_option]
        module = "benchmarks.our_run" if name == OURS else "benchmarks.torch_peer"
        command = machine.python(module, *own, *self._config, *words, f"--json={out}")
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise UsageError(f"{name} failed: {(done.stderr or done.stdout).strip()[-800:]}")
        print(f"{name}: {done.stdout.splitlines()[-1]}", file=sys.stderr, flush=True)
        return read_json(out)


def measured(
    options: argparse.Namespace,
    programs: Programs,
    words: Sequence[str],
    save: Callable[[dict[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """The record; `save` gets it after each of its parts too, so that what ends the process leaves what was seen."""
    names = [OURS, *options.peers]
    record = machine.provenance("benchmarks.compare", words, "")
    record["failed"] = {}

    def figures(ask: Callable[[str], dict[str, Any]], name: str) -> dict[str, Any] | None:
        try:
            return ask(name)
        except UsageError as error:
            if name == OURS:
                raise
            print(f"error: {error}", file=sys.stderr, flush=True)
            record["failed"][name] = str(error)
            names.remove(name)
            return None

    if options.epochs:
        record |= {"epochs": options.epochs, "seeds": options.seeds, "curves": {}}
        for name in list(names):
            if found := figures(programs.curves, name):
                record["curves"][name] = {key: found[key] for key in ("train_loss", "test_top1_error")}
                record["device"] = record["device"] or found["device"]
            save(record)
        theirs = {name: curves for name, curves in record["curves"].items() if name != OURS}
        if theirs:
            record["agreement"] = agreement.compared(record["curves"][OURS], theirs)
        save(record)
    rates: dict[str, list[float]] = {name: [] for name in names}
    record["loads"] = []
    for number in range(options.rounds):
        for name in rounds.in_turn(names, number):
            if found := figures(programs.speed, name):
                rates[name].append(found["images_per_second"]["median"])
                record["loads"].append(found["load"])
                record["device"] = record["device"] or found["device"]
        seen = {name: values for name, values in rates.items() if values}
        record["images_per_second"] = {name: rounds.spread(values) for name, values in seen.items()}
        record["ours_to"] = {  # of a peer that failed, in the rounds before
            name: rounds.ratios(seen[OURS][: len(values)], values) for name, values in seen.items() if name != OURS
        }
        save(record)
    return record


def table(record: dict[str, Any]) -> str:
    """The record's figures, short."""
    lines = [f"{record['device']}, load {record['load']}, commit {record['commit']}"]
    if "agreement" in record:
        lines += agreement.table(record["agreement"])
    for name, rate in record.get("images_per_second", {}).items():
        ratio = record["ours_to"].get(name)
        times = f"  ours is {ratio['median']:.2f} x as fast ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else ""
        lines.append(f"  {name:10s} {rate['median']:11,.0f} images/s{times}")
    lines += [f"  {name:10s} FAILED: {' '.join(why.split())[-200:]}" for name, why in record.get("failed", {}).items()]
    return "\n".join(lines)


@as_command
def main(words: list[str]) -> int:
    """Compares, writes the record and prints the table; 1 if the programs do not train alike, or one failed."""
    options, config_words = _parser().parse_known_args(words)
    if options.peers is None:
        graphs = machine.has_gpu() and "--device=cpu" not in options.peer_option
        options.peers = [name for name in PEERS if graphs or name != GRAPHS]
    if unknown := [name for name in options.peers if name not in PEERS]:
        raise UsageError(f"--peers={unknown[0]} is unknown. Choose from {', '.join(PEERS)}.")
    if options.epochs and not agreement.seeds_needed(options.seeds):
        raise UsageError(f"--seeds={options.seeds[0]}: a spread needs at least two seeds, as in --seeds=0,1,2.")
    with tempfile.TemporaryDirectory() as folder:
        save = lambda record: write_json(options.json, record) if options.json else None
        record = measured(options, Programs(options, config_words, Path(folder)), words, save)
    print(table(record))
    alike = "agreement" not in record or record["agreement"]["agree"]
    return int(bool(record["failed"]) or not alike)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=several(str), help=f"default: all, but {GRAPHS} only on a GPU")
    parser.add_argument(
        "--peer_option", action="append", default=[], help="of the peers, as in --peer_option=--workers=0"
    )
    parser.add_argument("--epochs", type=int, default=5, help="of the comparison of curves; 0: none")
    parser.add_argument("--seeds", type=several(int), default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="of processes for images per second; 0: none")
    parser.add_argument("--laps", type=positive, default=3, help="timed in each process, of which the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a lap takes at least")
    parser.add_argument("--steps", type=positive, default=0, help="of a lap; default: whole epochs of --seconds")
    parser.add_argument("--json", type=Path, help="where to write the record")
    return parser


if __name__ == "__main__":
    sys.exit(main())
