"""The figures of the records in benchmarks/results/, as README and docs/ quote them."""

import json
from pathlib import Path
from typing import Any

from scipy.stats import ttest_ind

from softaug_jax.report import statistics

ROOT = Path(__file__).parents[2]
HIDDEN = "occlusion/top1_error@40%"
README = (ROOT / "README.md").read_text()
SHOWN = {  # figures as the tables of README and docs/study.md show them: scale, digits
    "top1_error": (100, 2),
    "nll": (1, 3),
    "ece": (100, 2),
    **{f"occlusion/top1_error@{share}%": (100, 2) for share in (20, 40, 60, 80)},
}


def read(name: str) -> dict[str, Any]:
    """The record of this name."""
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def runs(pattern: str) -> list[dict[str, Any]]:
    """Those whose names match, by name."""
    return [json.loads(path.read_text()) for path in sorted((ROOT / "benchmarks" / "results").glob(pattern))]


def means(found: list[dict[str, Any]]) -> list[str]:
    """Each figure's mean and standard error, as tables show them."""
    each = {key: statistics.mean_and_error([scale * run[key] for run in found]) for key, (scale, _) in SHOWN.items()}
    return [f"{mean:.{SHOWN[key][1]}f} ± {error:.{SHOWN[key][1]}f}" for key, (mean, error) in each.items()]


def seeds(row: str, key: str = "top1_error", epochs: int = 500, per_class: int = 200) -> list[float]:
    """A figure of each seed of a row of the study's small network; errors in percent."""
    found = runs(f"cifar10_{row}-{per_class}perclass-resnet8-{epochs}ep-seed[0-9]-cpu.json")
    return [(1 if key == "nll" else 100) * run[key] for run in found]


def difference(a: list[float], b: list[float]) -> tuple[str, float]:
    """How much more the seeds of `a` have than those of `b`, with its standard error; and by which chance."""
    more, error = statistics.difference(statistics.mean_and_error(b), statistics.mean_and_error(a))
    return f"{more:.1f} ± {error:.1f}", float(ttest_ind(a, b).pvalue)
