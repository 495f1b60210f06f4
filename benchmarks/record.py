"""Copies the figures of finished runs into benchmarks/results/, one JSON file a run, for README and docs/ to quote.

python -m benchmarks.record runs/cifar10_sa runs/cifar10_baseline
python -m benchmarks.record runs/tables/cifar10/resnet8/mixup/seed0 --label=cifar10_mixup
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command
from softaug_jax.report.placing import trained
from softaug_jax.report.runs import read
from softaug_jax.run_files import read_json, settings, write_json

RESULTS = Path(__file__).parent / "results"


def record(workdir: str | Path, results: Path, label: str | None = None, **more: Any) -> Path:
    """Writes the run's summary as a record and returns its path.

    Args:
      workdir: of the finished run.
      results: folder of the records.
      label: first words of the file's name; None: the config's name.
      **more: further fields of the record, or others for those of the summary.
    """
    run = read(workdir)
    if run.summary is None:
        raise UsageError(f"{workdir} is not finished: only finished runs are recorded.")
    s = run.summary
    results.mkdir(parents=True, exist_ok=True)
    few = settings(run.config)["data.images_per_class"]
    images = f"-{few}perclass" if few else ""
    what = f"{label or s['config']}{images}-{s['model']}-{s['epochs']}ep-seed{s['seed']}"
    path = results / f"{what}-{s['device'].replace(' ', '-')}.json"
    if path.exists() and trained(read_json(path)["settings"]) != trained(run.config):
        raise UsageError(f"{path} is the record of a run with other settings than {workdir}'s. Give --label=NAME.")
    write_json(path, {**s, **more, "settings": run.config})
    return path


@as_command
def main(words: list[str]) -> int:
    """Records the runs and prints the records' paths."""
    parser = Parser(
        prog="python -m benchmarks.record", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdirs", nargs="+", help="folders of finished runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: benchmarks/results")
    parser.add_argument("--label", help="first words of the record's name; default: the config's name")
    arguments = parser.parse_args(words)
    for folder in arguments.workdirs:
        print(record(folder, arguments.out, arguments.label))
    return 0


if __name__ == "__main__":
    sys.exit(main())
