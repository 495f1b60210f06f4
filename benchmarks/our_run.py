"""Our side of the comparison: the config's loss curve and test error with several seeds, without a folder of runs.

python -m benchmarks.our_run --seeds=0,1,2 --config=configs/cifar10_sa.py:epochs=5 [--json=FILE]
python -m benchmarks.our_run --speed --config=configs/cifar10_sa.py [--json=FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, rounds
from softaug_jax.cli import config_of
from softaug_jax.commands import Parser, as_command, positive, several
from softaug_jax.run_files import write_json


def curves(config: Any, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean training loss of each epoch, and the final test error, of each seed."""
    from benchmarks import training
    from softaug_jax.data import sources
    from softaug_jax.train import sharding
    from softaug_jax.train.evaluation import Evaluation

    arrays, about = training.data_of(config.dataset, config.data.dir)
    test = sources.load(config.dataset, "test", config.data.dir)
    losses, errors = [], []
    for seed in seeds:
        config.seed = seed
        run = training.start(config, arrays, about)
        losses.append([run.epoch() for _ in range(config.epochs)])
        evaluation = Evaluation(config, run.parts, test, lambda: arrays, sharding.over())
        errors.append(evaluation.run(("classification",), run.state)["top1_error"])
    return {"train_loss": losses, "test_top1_error": errors}


def speed(config: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Images per second of each round."""
    from benchmarks import training

    run = training.start(config, *training.data_of(config.dataset, config.data.dir))
    run.warm_up(options.seconds, options.steps)
    return {"images_per_second": rounds.spread(rounds.measure({"ours": run.lap}, options.rounds)["ours"])}


@as_command
def main(words: list[str]) -> int:
    """Measures, writes the record and prints the figures."""
    parser = Parser(
        prog="python -m benchmarks.our_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speed", action="store_true", help="images per second instead of the curve")
    parser.add_argument("--seeds", type=several(int), default=[0])
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a round takes at least")
    parser.add_argument("--steps", type=positive, default=0, help="of a round; default: whole epochs of --seconds")
    parser.add_argument("--json", type=Path, help="where to write the record")
    options, config_words = parser.parse_known_args(words)
    config = config_of(config_words)
    record = machine.jax_provenance("benchmarks.our_run", words)
    record |= speed(config, options) if options.speed else curves(config, options.seeds)
    if options.json:
        write_json(options.json, record)
    what = "images_per_second" if options.speed else "test_top1_error"
    print(f"{record['device']}, load {record['load']}: {what} {record[what]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
