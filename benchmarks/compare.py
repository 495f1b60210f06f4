"""Our training and the PyTorch peers in turn on one machine: first whether they train alike, then how fast.

  python -m benchmarks.compare --config=configs/cifar10_sa.py [--peers=dataloader,gpu] [--epochs=5] [--seeds=0,1,2]
      [--rounds=2] [--json=FILE] [--config.FIELD=VALUE]

Each is a process of its own. They train the same config: with each seed for --epochs epochs, whose losses and final
errors must agree within what the seeds differ (benchmarks/agreement.py), and then, with the schedule as it is, round
after round in alternating order for images per second. Exit code 1 if they do not train alike; the ratios are then
recorded all the same. --epochs=0 leaves the first part out, --rounds=0 the second.
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
from softaug_jax.commands import Parser, as_command, positive
from softaug_jax.run_files import read_json, write_json

OURS = "ours"
PEERS = ("dataloader", "gpu")


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
        peer = ["--loader=" + name, *self._options.peer_option]
        module, own = ("benchmarks.our_run", []) if name == OURS else ("benchmarks.torch_peer", peer)
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
    if options.epochs:
        curves = {name: programs.curves(name) for name in names}
        record["device"] = curves[OURS]["device"]
        seen = {n: {k: c[k] for k in ("train_loss", "test_top1_error")} for n, c in curves.items()}
        record |= {"epochs": options.epochs, "seeds": options.seeds, "curves": seen}
        record["agreement"] = agreement.compared(seen[OURS], {name: seen[name] for name in options.peers})
        save(record)
    rates: dict[str, list[float]] = {name: [] for name in names}
    loads: list[float] = []
    for number in range(options.rounds):
        for name in rounds.in_turn(names, number):
            found = programs.speed(name)
            rates[name].append(found["images_per_second"]["median"])
            loads.append(found["load"])
            record["device"] = found["device"] if name == OURS else record["device"]
        record["images_per_second"] = {name: rounds.spread(values) for name, values in rates.items()}
        record["ours_to"] = {name: rounds.ratios(rates[OURS], rates[name]) for name in options.peers}
        record["loads"] = loads
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
    return "\n".join(lines)


@as_command
def main(words: list[str]) -> int:
    """Compares, writes the record and prints the table; 1 if the programs do not train alike."""
    parser = Parser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("--peers", type=names, default=list(PEERS), help="default: dataloader,gpu")
    parser.add_argument(
        "--peer_option", action="append", default=[], help="of the peers, as in --peer_option=--workers=0"
    )
    parser.add_argument("--epochs", type=int, default=5, help="of the comparison of curves; 0: none")
    parser.add_argument("--seeds", type=lambda t: [int(word) for word in t.split(",")], default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="of processes for images per second; 0: none")
    parser.add_argument("--laps", type=positive, default=3, help="timed in each process, of which the median counts")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a lap takes at least")
    parser.add_argument("--steps", type=positive, default=0, help="of a lap; default: whole epochs of --seconds")
    parser.add_argument("--json", type=Path, help="where to write the record")
    options, config_words = parser.parse_known_args(words)
    if unknown := [name for name in options.peers if name not in PEERS]:
        raise UsageError(f"--peers={unknown[0]} is unknown. Choose from {', '.join(PEERS)}.")
    if options.epochs and not agreement.seeds_needed(options.seeds):
        raise UsageError(f"--seeds={options.seeds[0]}: a spread needs at least two seeds, as in --seeds=0,1,2.")
    with tempfile.TemporaryDirectory() as folder:
        save = lambda record: write_json(options.json, record) if options.json else None
        record = measured(options, Programs(options, config_words, Path(folder)), words, save)
    print(table(record))
    return int("agreement" in record and not record["agreement"]["agree"])


if __name__ == "__main__":
    sys.exit(main())
