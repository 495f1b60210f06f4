"""The study's Figure 3: how much the error falls, over crop strength, curve, and what is softened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.study_lists import Entry
from softaug_jax.report.placing import Placed
from softaug_jax.report.statistics import Figure, difference, mean_and_error
from softaug_jax.report.style import GREY, color, drawing, marker

# By line: its label, and the number of its colour and marker. Target and weight at k = 2 is one line in two panels.
CURVES = {k: (f"$k$ = {k:g}", number) for number, k in enumerate((1.0, 2.0, 3.0, 4.0))}
MODES = {
    "target_and_weight": ("target and weight", 1),
    "target": ("target only", 4),
    "weight": ("weight only", 5),
    "none": ("none: hard targets", 6),
}
SMOOTHING = {"smoothing": ("label smoothing", 7)}


class Point(NamedTuple):
    """A row's place in the figure: a line's name, where on its axis, and the error reduction in points."""

    line: str | float
    at: float
    reduction: Figure


def draw(folder: Path, entries: Sequence[Entry], placed: Placed, epochs: Sequence[int]) -> list[Path]:
    """Draws one figure for each network and number of epochs that has the baseline and more; returns the paths."""
    written = []
    for model in dict.fromkeys(entry.model for entry in entries):
        for each in epochs:
            rows = {e: placed.runs[each, e] for e in entries if e.model == model and (each, e) in placed.runs}
            panels = _panels(rows, each)
            if any(panels):
                path = folder / f"figure3-{entries[0].dataset}-{model}-{each}ep.png"
                _draw(path, *panels)
                written.append(path)
    return written


def _panels(rows: dict[Entry, Any], epochs: int) -> tuple[list[Point], list[Point], list[Point]]:
    """Points by curve (k), by what is softened (at k = 2), and by label smoothing's alpha."""
    errors = {entry: mean_and_error([100 * run.results["top1_error"] for run in runs]) for entry, runs in rows.items()}
    base = next((error for entry, error in errors.items() if entry.slug == "baseline"), None)
    curves, modes, smoothing = [], [], []
    for entry, error in errors.items() if base else ():
        config, reduction = entry.build(epochs), difference(error, base)
        soften, sigma = config.soften, config.augment.sigma
        if config.augment.crop == "hard":
            smoothing += [Point("smoothing", 1 - soften.p_max, reduction)] if soften.mode != "none" else []
            continue
        if soften.mode == "target_and_weight":
            curves.append(Point(soften.k, sigma, reduction))
        if soften.k == 2.0:
            modes.append(Point(soften.mode, sigma, reduction))
    return curves, modes, smoothing


def _draw(path: Path, curves: list[Point], modes: list[Point], smoothing: list[Point]) -> None:
    with drawing(path, 7.6, 3.3, ncols=3, sharey=True, gridspec_kw={"width_ratios": (3, 3, 2)}) as (_, axes):
        _lines(axes[0], curves, CURVES)
        _lines(axes[1], modes, MODES)
        _lines(axes[2], smoothing, SMOOTHING)
        axes[0].set(title="Target and weight softened", ylabel="Error reduction (points)")
        axes[1].set_title("What is softened, $k$ = 2")
        axes[2].set(title="Hard crop, smoothed", xlabel=r"Label smoothing $\alpha$")
        for panel in axes[:2]:
            panel.set(xlabel=r"Crop strength $\sigma$", xlim=(0.05, 0.55))
            panel.set_xticks([0.1, 0.2, 0.3, 0.4, 0.5])
        axes[2].set_xlim(0, 0.33)


def _lines(axes: Any, points: Sequence[Point], styles: dict[Any, tuple[str, int]]) -> None:
    """A line for each style that has points; zero is the baseline. Bars are standard errors over the seeds."""
    axes.axhline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="baseline")
    for name, (label, number) in styles.items():
        line = sorted((point.at, *point.reduction) for point in points if point.line == name)
        if line:
            at, mean, error = zip(*line, strict=True)
            axes.errorbar(
                *(at, mean),
                yerr=[each or 0.0 for each in error] if any(each is not None for each in error) else None,
                **{"color": color(number), "marker": marker(number), "capsize": 2, "elinewidth": 1, "label": label},
            )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
