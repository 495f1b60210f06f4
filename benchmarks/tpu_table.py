"""The table of docs/pods.md, from the records in benchmarks/results/tpu_compile/; each is made by one command.

python -m benchmarks.tpu_table             the records there are, as Markdown
python -m benchmarks.tpu_table --missing   a command for each record there is not yet, to be run by a shell
"""

from __future__ import annotations

import shlex
import sys
from itertools import product
from pathlib import Path
from typing import Any

from softaug_jax.run_files import read_json

RESULTS = Path("benchmarks/results/tpu_compile")
SLICES = {  # the Cloud's name and the slice's shape
    "v4-8": "v4:2x2x1",
    "v4-128": "v4:4x4x4",
    "v5e-4": "v5e:2x2",
    "v5e-16": "v5e:4x4",
    "v5e-256": "v5e:16x16",
    "v5p-8": "v5p:2x2x1",
    "v6e-4": "v6e:2x2",
    "v6e-16": "v6e:4x4",
}
MODELS = {"resnet18": "cifar100_sa", "wideresnet28_10": "cifar100_sa", "resnet50": "imagenet_sa"}
POLICIES = {"soft_crop": "", "soft_crop+randaugment": ",policy=randaugment"}
HEADER = (
    "| slice | chips | network | augmentation | memory | all-reduces (tiny) | crop | policy | draws "
    "| compute + waiting | images/s a chip | of peak |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def path_of(topology: str, model: str, augmentation: str) -> Path:
    """Where the record is."""
    return RESULTS / f"{topology.replace(':', '-')}-{model}-{augmentation}.json"


def command(topology: str, model: str, augmentation: str) -> str:
    """What makes the record, in the environment of this program."""
    config = f"configs/{MODELS[model]}.py:model={model}{POLICIES[augmentation]}"
    words = (
        f"--topology={topology}",
        f"--config={config}",
        "--per_chip=128",
        f"--out={path_of(topology, model, augmentation)}",
    )
    return shlex.join([sys.executable, "-m", "benchmarks.tpu_compile", *words])


def row(name: str, model: str, augmentation: str, record: dict[str, Any]) -> str:
    """A record as a line of the table."""
    total = sum(record["cycles"].values())
    share = lambda scope: f"{record['augmentation_cycles'].get(scope, 0) / total:.1%}"
    (sums,) = record["collectives"]
    return (
        f"| {name} | {record['chips']} | {model} | {augmentation.replace('_', ' ').replace('+', ', ')} "
        f"| {record['memory']['share_of_hbm']:.1%} | {sums['count']:g} ({sums['tiny']:g}) "
        f"| {share('crop')} | {share('policy')} | {share('draw')} "
        f"| {record['compute_ms']:.1f} + {record['collectives_ms']:.1f} ms "
        f"| {record['images_per_second_per_chip']:,.0f} | {record['share_of_peak']:.0%} |"
    )


def main(missing: bool) -> None:
    """Prints the table, or the commands."""
    lines = [] if missing else [HEADER]
    for (name, topology), model, augmentation in product(SLICES.items(), MODELS, POLICIES):
        path = path_of(topology, model, augmentation)
        if missing and not path.exists():
            lines.append(command(topology, model, augmentation))
        elif not missing and path.exists():
            lines.append(row(name, model, augmentation, read_json(path)))
    for line in lines:
        print(line)


if __name__ == "__main__":
    main("--missing" in sys.argv[1:])
