"""Figures of self-supervised runs: how they went, and the weight of a pair by the overlap of its crops."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np

from softaug_jax.report.curves import draw_rows, need
from softaug_jax.report.runs import Run, group, legend
from softaug_jax.report.style import REFERENCE, color, drawing, legend_below
from softaug_jax.softening import HYPOTHESES, pair_confidence

EQUATIONS = {"sa1": "SA#1, Eq. 9", "sa2": "SA#2, Eq. 10"}


def self_supervised_curves(path: str | Path, runs: Sequence[Run]) -> None:
    """Draws nearest-neighbour error, loss and the outputs' spread against the epoch, one line a run.

    A dashed line is the spread of outputs that cover the sphere evenly, 1 / sqrt(d); near 0 they have collapsed. Losses
    compare between runs of one method and one weighting only.

    Raises:
      ValueError: if no run has logged anything.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    need([run for run in runs if run.history], "has logged anything")
    groups = group(runs)
    panels = (
        ("test", "knn_top1_error", 100, "Nearest-neighbour top-1 error (%)"),
        ("train", "loss", 1, "Training loss"),
        ("train", "output_std", 1, "Standard deviation of the outputs"),
    )
    with drawing(path, 9.0, 2.9 + 0.16 * len(groups), ncols=3) as (figure, all_axes):
        for axes, (split, name, scale, label) in zip(all_axes, panels, strict=True):
            for number, members in enumerate(groups):
                for run in members:
                    draw_rows(axes, run.rows(split), name, scale, color=color(number))
            axes.set(xlabel="Epoch", ylabel=label, xlim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        all_axes[0].set_ylim(0, None)
        for dim in sorted({run.config["model"]["projection_dim"] for run in runs}):
            all_axes[2].axhline(1 / sqrt(dim), **REFERENCE)
        all_axes[2].set_ylim(0, None)
        handles = [Line2D([], [], color=color(i), label=label) for i, label in enumerate(legend(groups))]
        handles.append(Line2D([], [], label="spread evenly", **REFERENCE))
        legend_below(figure, handles, 1 if len(groups) > 2 else 2)


def pair_weights(path: str | Path, k: float, p_min: float, chosen: str) -> None:
    """Draws a pair's weight against the IoU of its crops (arXiv:2211.04625, Eqs. 9 and 10), `chosen` one bold."""
    iou = np.linspace(0.0, 1.0, 201)
    with drawing(path, 3.6, 2.9) as (_, (axes,)):
        for number, hypothesis in enumerate(HYPOTHESES):
            axes.plot(
                iou,
                np.asarray(pair_confidence(iou, k=k, p_min=p_min, hypothesis=hypothesis)),
                color=color(number),
                linewidth=2.6 if hypothesis == chosen else 1.4,
                label=EQUATIONS[hypothesis] + (" (this run)" if hypothesis == chosen else ""),
            )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Overlap of the crops, IoU", ylabel="Weight $p$")
        axes.set_title(f"$k$ = {k:g}, $p_{{min}}$ = {p_min:g}")
        axes.legend(loc="lower center")
