"""Figures of runs: learning curves, reliability diagrams, error under occlusion; one colour for a group of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softaug_jax.report.runs import Run, group, legend
from softaug_jax.report.statistics import Figure, mean_and_error
from softaug_jax.report.style import GREY, REFERENCE, color, drawing, legend_below, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN: dict[str, Any] = {"linestyle": (0, (2, 1.5)), "linewidth": 1.0, "alpha": 0.75}
TEST: dict[str, Any] = {"linestyle": "-", "linewidth": 1.6}
EARLY = 0.1  # share of the epochs in which a line may start so high that it is cut


class ReliabilityLine(NamedTuple):
    """A line of a reliability diagram."""

    label: str
    bins: np.ndarray  # counts, confidence sums and accuracy sums by bin, [3, num_bins]
    runs: int = 1  # whose bins are added up: of the same test images, which count once for the bars


class OcclusionLine(NamedTuple):
    """A line of errors under occlusion; all numbers in [0, 1]."""

    label: str
    errors: dict[float, Figure]  # by occluded share: mean and standard error over seeds
    spreads: dict[float, float] = {}  # by occluded share: standard deviation over draws; empty where there was one


def learning_curves(path: str | Path, runs: Sequence[Run]) -> None:
    """Draws error and loss against the epoch, on training and test data, one line a run.

    The training error is that of augmented images, and the training loss the one that is minimised, with soft targets
    and weights where the run has them: neither compares with the test's, nor between methods.

    Raises:
      ValueError: if no run has logged anything.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    need([run for run in runs if run.history], "has logged anything")
    groups = group(runs)
    with drawing(path, 7.0, 3.2 + 0.16 * len(groups), ncols=2) as (figure, (errors, losses)):
        for number, members in enumerate(groups):
            test = {**TEST, "linewidth": 1.6 if len(members) == 1 else 1.1}
            for run in members:
                draw_rows(errors, run.rows("train"), "top1_error", 100, color=color(number), **TRAIN)
                draw_rows(errors, run.rows("test"), "top1_error", 100, color=color(number), **test)
                draw_rows(losses, run.rows("train"), "loss", 1, color=color(number), **TRAIN)
                draw_rows(losses, run.rows("test"), "nll", 1, color=color(number), **test)
        errors.set(xlabel="Epoch", ylabel="Top-1 error (%)", xlim=(0, None), ylim=(0, _top(errors)))
        losses.set(xlabel="Epoch", ylabel="Loss (nats)", xlim=(0, None), ylim=(0, _top(losses)))
        handles = [Line2D([], [], color=color(i), label=label) for i, label in enumerate(legend(groups))]
        handles += [
            Line2D([], [], color=GREY, label="test (loss: negative log likelihood)", **TEST),
            Line2D([], [], color=GREY, label="training, on augmented images", **TRAIN),
        ]
        for axes in (errors, losses):
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        legend_below(figure, handles, 1 if len(groups) > 2 else 2)


def reliability(path: str | Path, runs: Sequence[Run]) -> None:
    """Draws the reliability diagram of runs, see `reliability_diagram`; seeds are pooled.

    Raises:
      ValueError: if no run has calibration bins.
    """
    groups = group([run for run in runs if run.bins() is not None])
    need(groups, "has calibration bins")
    lines = []
    for members, label in zip(groups, legend(groups), strict=True):
        ece, _ = mean_and_error([run.results["ece"] for run in members])
        bins = np.sum([run.bins() for run in members], axis=0)  # type: ignore[arg-type]
        lines.append(ReliabilityLine(f"{label}: ECE\u00a0{100 * ece:.2f}\u00a0%", bins, len(members)))
    reliability_diagram(path, lines)


def reliability_diagram(path: str | Path, lines: Sequence[ReliabilityLine]) -> None:
    """Draws accuracy against confidence by bin, and how many examples each bin holds.

    Bars are binomial standard errors over the test images, on which several seeds are alike right or wrong: they make
    no bar shorter. They are left out where they would cover one another. The diagonal is perfect calibration
    (arXiv:2211.04625, Eq. 8).
    """
    ratios = {"nrows": 2, "sharex": True, "gridspec_kw": {"height_ratios": (3, 1)}}
    with drawing(path, 3.8, 4.65 + 0.16 * len(lines), **ratios) as (figure, (upper, lower)):
        handles: list[Any] = upper.plot([0, 1], [0, 1], label="perfect calibration", **REFERENCE)
        for number, line in enumerate(lines):
            handles.append(_reliability_line(upper, line, number, len(lines) <= 3))
            _histogram(lower, line.bins[0], number, len(lines))
        upper.set(xlim=(0, 1.01), ylim=(-0.02, 1.02), ylabel="Accuracy")
        lower.set(xlabel="Confidence", ylabel="Examples (%)")
        lower.grid(False, axis="x")
        legend_below(figure, handles, 1)


def occlusion(path: str | Path, runs: Sequence[Run]) -> None:
    """Draws the error of runs under occlusion, see `occlusion_lines`.

    Raises:
      ValueError: if no run was tested under occlusion.
    """
    groups = group([run for run in runs if run.occlusion()])
    need(groups, "was tested under occlusion")
    lines = []
    for members, label in zip(groups, legend(groups), strict=True):
        shares = sorted(set.intersection(*(set(run.occlusion()) for run in members)))
        lines.append(
            OcclusionLine(label, {s: mean_and_error([run.occlusion()[s] for run in members]) for s in shares}),
        )
    occlusion_lines(path, {"": lines})


def occlusion_lines(path: str | Path, panels: Mapping[str, Sequence[OcclusionLine]]) -> None:
    """Draws top-1 error against the occluded share of the image (arXiv:2211.04625, Fig. 5).

    Bars are standard errors of the mean over seeds, bands the standard deviation over draws, where there are several.

    Args:
      path: of the PNG.
      panels: the same lines under other conditions, by the panels' titles.
    """
    shown = [line for lines in panels.values() for line in lines]
    keys = _keys_of_spread(shown)
    size = (4.2 if len(panels) == 1 else 2.5 * len(panels) + 0.4), 3.1 + 0.16 * (len(shown) // len(panels) + len(keys))
    with drawing(path, *size, ncols=len(panels), sharey=True) as (figure, all_axes):
        for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
            handles = [_occlusion_line(axes, number, line) for number, line in enumerate(lines)]
            axes.set(title=title, xlabel="Occluded share of the image (%)")
            axes.set_xticks(sorted({100 * share for line in lines for share in line.errors}))
        all_axes[0].set(ylabel="Top-1 error (%)", ylim=(0, None))
        legend_below(figure, [*handles, *keys], 1)


def need(something: Sequence[Any], what: str) -> None:
    """Raises ValueError, which says what no run did, if there is nothing."""
    if not something:
        raise ValueError(f"No run {what}.")


def draw_rows(axes: Axes, rows: Sequence[dict[str, Any]], name: str, scale: float, **style: Any) -> None:
    """Draws a figure of a run's history against the epoch, times `scale`; one value alone as a dot."""
    rows = [row for row in rows if name in row]
    if len(rows) == 1:
        style = {**style, "marker": "o"}
    axes.plot([row["epoch"] for row in rows], [scale * row[name] for row in rows], **style)


def _top(axes: Axes) -> float:
    """The upper end of the axis: a little above the data, but not far above what follows a line's first epochs."""
    lines = [np.asarray(line.get_xydata(), float) for line in axes.get_lines()]
    lines = [line[np.isfinite(line[:, 1])] for line in lines]
    lines = [line for line in lines if len(line)]
    largest = max((line[:, 1].max() for line in lines), default=0.0)
    settled = max((line[line[:, 0] >= EARLY * line[-1, 0], 1].max() for line in lines), default=0.0)
    return 1.05 * float(min(largest, 2 * settled)) if settled > 0 else 1.0


def _keys_of_spread(lines: Sequence[OcclusionLine]) -> list[Any]:
    """Legend entries that say what bars and bands are, as far as there are any; bars alone are the seeds', as ever."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if not any(line.spreads for line in lines):
        return []
    keys: list[Any] = [Patch(color=GREY, alpha=0.25, linewidth=0, label="standard deviation over draws")]
    if any(error is not None for line in lines for _, error in line.errors.values()):
        keys.append(
            Line2D([], [], color=GREY, marker="|", markersize=9, linestyle="", label="standard error over seeds")
        )
    return keys


def _occlusion_line(axes: Axes, number: int, line: OcclusionLine) -> Any:
    # NaN is no bar, where 0 would be a cap.
    points = [(share, mean, np.nan if error is None else error) for share, (mean, error) in line.errors.items()]
    shares, means, errors = 100 * np.transpose(points)
    if line.spreads:
        spreads = np.array([100 * line.spreads[share] for share in line.errors])
        axes.fill_between(shares, means - spreads, means + spreads, color=color(number), alpha=0.25, linewidth=0)
    has_bars = any(error is not None for _, error in line.errors.values())
    style: dict[str, Any] = {"color": color(number), "marker": marker(number), "capsize": 2, "elinewidth": 1}
    return axes.errorbar(shares, means, yerr=errors if has_bars else None, label=line.label, **style)


def _reliability_line(axes: Axes, line: ReliabilityLine, number: int, with_bars: bool) -> Any:
    counts, confidences, accuracies = line.bins[:, line.bins[0] > 0]
    # With one success and one failure added, so that a bin of a few examples, all right or all wrong, has its bar too.
    images = counts / line.runs
    smoothed = (accuracies / line.runs + 1) / (images + 2)
    return axes.errorbar(
        confidences / counts,
        accuracies / counts,
        yerr=np.sqrt(smoothed * (1 - smoothed) / (images + 2)) if with_bars else None,
        color=color(number),
        marker=marker(number),
        capsize=1.5,
        elinewidth=0.8,
        label=line.label,
    )


def _histogram(axes: Axes, counts: np.ndarray, number: int, total: int) -> None:
    """Bars side by side within each bin."""
    width = 0.9 / len(counts) / total
    left = np.arange(len(counts)) / len(counts) + 0.05 / len(counts) + number * width
    axes.bar(left, 100 * counts / counts.sum(), width=width, align="edge", color=color(number))
