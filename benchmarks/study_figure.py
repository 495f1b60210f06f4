"""The study's Figure 3: how much the error falls, over crop strength, curve, and what is softened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.study_lists import Entry
from softaug_jax.report import reductions
from softaug_jax.report.placing import Placed, trained
from softaug_jax.report.statistics import difference, mean_and_error


def draw(folder: Path, entries: Sequence[Entry], placed: Placed, epochs: Sequence[int]) -> list[Path]:
    """Draws one figure for each network and number of epochs that has the baseline and more; returns the paths."""
    written = []
    for model in dict.fromkeys(entry.model for entry in entries):
        for each in epochs:
            rows = {e: placed.runs[each, e] for e in entries if e.model == model and (each, e) in placed.runs}
            panels = _panels(rows, each)
            if any(panels):
                path = folder / f"figure3-{entries[0].dataset}-{model}-{each}ep.png"
                reductions.draw(path, panels)
                written.append(path)
    return written


def _panels(rows: dict[Entry, Any], epochs: int) -> reductions.Panels:
    """The reductions against the baseline, in points; none without it."""
    errors = {entry: mean_and_error([100 * run.results["top1_error"] for run in runs]) for entry, runs in rows.items()}
    base = next((error for entry, error in errors.items() if entry.slug == "baseline"), None)
    if base is None:
        return reductions.Panels([], [], [])
    configs = {entry: trained(entry.build(epochs).to_dict()) for entry in errors}
    return reductions.panels((configs[entry], difference(error, base)) for entry, error in errors.items())
