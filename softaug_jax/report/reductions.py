"""How much softening lowers the error, by crop strength, curve and what is softened (arXiv:2211.04625, Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softaug_jax.report.statistics import Figure
from softaug_jax.report.style import REFERENCE, color, drawing, marker
from softaug_jax.run_files import Tree

# By line: its label, and the number of its colour and marker. Target and weight at k = 2 is one line in two panels.
CURVES: dict[Any, tuple[str, int]] = {k: (f"$k$ = {k:g}", number) for number, k in enumerate((1.0, 2.0, 3.0, 4.0))}
MODES: dict[Any, tuple[str, int]] = {
    "target_and_weight": ("target and weight", 1),
    "target": ("target only", 4),
    "weight": ("weight only", 5),
    "none": ("none: hard targets", 6),
}
SMOOTHING: dict[Any, tuple[str, int]] = {"smoothing": ("label smoothing", 7)}
SIGMAS = (0.1, 0.2, 0.3, 0.4, 0.5)  # the paper's, which the axes show in any case


class Point(NamedTuple):
    """A place in the figure: a line's name, where on its axis, and the error reduction in points."""

    line: str | float | tuple[str, float]
    at: float
    reduction: Figure


class Panels(NamedTuple):
    """Points by curve (k), by what is softened, and by label smoothing's alpha."""

    curves: list[Point]
    modes: list[Point]
    smoothing: list[Point]


def panels(measured: Iterable[tuple[Tree, Figure]]) -> Panels:
    """Sorts configs, flat with dotted names, each with its error reduction in points, into the panels.

    What softens target or weight alone is drawn at k = 2 as a line of the mode, and at another k as one of both.
    """
    found = Panels([], [], [])
    for config, reduction in measured:
        mode, k = config["soften.mode"], config["soften.k"]
        if not config["augment.crop"].startswith("soft"):
            if mode != "none":
                found.smoothing.append(Point("smoothing", 1 - config["soften.p_max"], reduction))
            continue
        sigma = config["augment.sigma"]
        if mode == "target_and_weight":
            found.curves.append(Point(float(k), sigma, reduction))
        if mode == "none" or k == 2:
            found.modes.append(Point(mode, sigma, reduction))
        elif mode != "target_and_weight":
            found.modes.append(Point((mode, float(k)), sigma, reduction))
    return found


def _name(line: Any) -> str:
    """Of what is softened, at another k than 2 or by a rule of the user's own."""
    mode, k = line if isinstance(line, tuple) else (line, None)
    name = MODES[mode][0] if mode in MODES else mode
    return name if k is None else f"{name}, $k$ = {k:g}"


def draw(path: Path, shown: Panels) -> None:
    """Draws the three panels; zero is the baseline, bars are standard errors over the seeds."""
    others = {p.line for p in shown.modes} - MODES.keys()
    modes = {line: (_name(line), number) for number, line in enumerate(sorted(others, key=str), start=8)}
    ks = sorted({p.line for p in shown.curves} - CURVES.keys())  # type: ignore[type-var]
    curves = {k: (f"$k$ = {k:g}", number) for number, k in enumerate(ks, start=8)}
    with drawing(path, 7.6, 3.3, ncols=3, sharey=True, gridspec_kw={"width_ratios": (3, 3, 2)}) as (_, axes):
        _lines(axes[0], shown.curves, CURVES | curves)
        _lines(axes[1], shown.modes, MODES | modes)
        _lines(axes[2], shown.smoothing, SMOOTHING)
        axes[0].set(title="Target and weight softened", ylabel="Error reduction (points)")
        axes[1].set_title("What is softened, $k$ = 2")
        axes[2].set(title="Hard crop, smoothed", xlabel=r"Label smoothing $\alpha$")
        sigmas = sorted({*SIGMAS, *(point.at for points in shown[:2] for point in points)})
        for panel in axes[:2]:
            panel.set(xlabel=r"Crop strength $\sigma$", xlim=(max(0, sigmas[0] - 0.05), sigmas[-1] + 0.05))
            if sigmas[-1] <= 2 * SIGMAS[-1]:
                panel.set_xticks(SIGMAS)
        axes[2].set_xlim(0, max(0.33, *(point.at + 0.03 for point in shown.smoothing), 0))


def _lines(axes: Any, points: Sequence[Point], styles: dict[Any, tuple[str, int]]) -> None:
    """A line for each style that has points."""
    axes.axhline(0, label="baseline", **REFERENCE)
    for name, (label, number) in styles.items():
        line = sorted((point.at, *point.reduction) for point in points if point.line == name)
        if line:
            at, mean, error = zip(*line, strict=True)
            has_bars = any(each is not None for each in error)
            bars = [math.nan if each is None else each for each in error] if has_bars else None  # NaN is no bar
            axes.errorbar(
                at, mean, yerr=bars, color=color(number), marker=marker(number), capsize=2, elinewidth=1, label=label
            )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
