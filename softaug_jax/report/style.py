"""How every figure looks. Matplotlib is loaded when the first figure is drawn, and its global state left alone."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softaug_jax.paths import path_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
# Of a legend's text, about: the mean width of a letter, a line's height, and what a line's mark takes.
LETTER_INCHES, LINE_INCHES, HANDLE_LETTERS = 0.066, 0.14, 9

# Okabe and Ito's colours, which colour-blind readers tell apart; the yellow is left out, too light for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
REFERENCE: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 0.9}  # a line to compare with

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}


def color(number: int) -> str:
    """The colour of the number-th line."""
    return COLORS[number % len(COLORS)]


def marker(number: int) -> str:
    """The marker of the number-th line; with the colour it tells 49 lines apart."""
    return MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


@contextmanager
def drawing(path: str | Path, width: float, height: float, **subplots: Any) -> Iterator[tuple[Figure, list[Axes]]]:
    """Gives a figure of width x height inches and its axes, row by row, and saves it as a PNG if all went well."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(squeeze=False, **subplots).flat)
        figure.set_dpi(DPI)
        png = io.BytesIO()
        canvas.print_png(png)
        path = path_of(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.getvalue())


def legend_below(figure: Figure, handles: list[Any], columns: int) -> None:
    """Puts the legend under the axes, where it covers no data; breaks labels that are wider than the figure."""
    width = max(20, int(figure.get_figwidth() / columns / LETTER_INCHES) - HANDLE_LETTERS)
    labels = [textwrap.fill(str(handle.get_label()), width) for handle in handles]
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * sum(label.count("\n") for label in labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
