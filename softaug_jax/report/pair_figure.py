"""A figure of pairs: where two views lie in their image, how they look, and what the pair counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softaug_jax.report.figures import show_image
from softaug_jax.report.style import color, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 1.25  # of an image, in inches
GAP_FRAC = 0.12  # between panels, as a share of an image's side


def pair_grid(
    path: str | Path,
    sources: np.ndarray,
    boxes_a: np.ndarray,
    boxes_b: np.ndarray,
    views: np.ndarray,
    iou: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    columns: int = 2,
) -> None:
    """Draws a panel for each image: the source with both boxes, then the two views, framed in their boxes' colours.

    Args:
      path: of the PNG.
      sources: the images, [n, H, W, C], C 1 or 3, in 0 to 255, uint8 or float.
      boxes_a: of the first views, (y0, x0, y1, x1), [n, 4], in pixels of the source.
      boxes_b: of the second views, the same.
      views: [n, 2, H, W, C], in 0 to 255.
      iou: intersection over union of the two boxes, [n].
      weights: of the pairs in the loss, [n], or None to leave them out of the captions.
      columns: panels a row.

    Raises:
      ValueError: if a shape does not fit.
    """
    sources, boxes_a, boxes_b, views, iou = (np.asarray(x) for x in (sources, boxes_a, boxes_b, views, iou))
    weights = None if weights is None else np.asarray(weights)
    _check(sources, boxes_a=boxes_a, boxes_b=boxes_b, views=views, iou=iou, weights=weights)
    count, height, width = sources.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    ratios = ([1.0, 1.0, 1.0, GAP_FRAC] * columns)[:-1]  # an empty axes keeps the panels apart
    size = (SIDE * sum(ratios) * 1.04, (SIDE * height / width + 0.22) * rows)
    grid = {"nrows": rows, "ncols": len(ratios), "gridspec_kw": {"width_ratios": ratios}}
    with drawing(path, *size, **grid) as (figure, all_axes):
        figure.get_layout_engine().set(w_pad=0.025, h_pad=0.025, wspace=0.0, hspace=0.0)  # type: ignore[union-attr, call-arg]
        for axes in all_axes:
            axes.set_axis_off()
        by_row = np.array(all_axes, dtype=object).reshape(rows, -1)
        for number in range(count):
            row, column = divmod(number, columns)
            source, *two = by_row[row, 4 * column : 4 * column + 3]
            show_image(source, sources[number], _caption(iou[number], None if weights is None else weights[number]))
            _outline(source, (boxes_a[number], boxes_b[number]))
            for which, axes in enumerate(two):
                show_image(axes, views[number, which], f"view {'ab'[which]}", frame=color(which), width=2.0)


def _check(sources: np.ndarray, **arrays: np.ndarray | None) -> None:
    if sources.ndim != 4 or sources.shape[-1] not in (1, 3) or not len(sources):
        raise ValueError(f"sources have shape {sources.shape}; they must be [n, H, W, C] with 1 or 3 channels.")
    count = sources.shape[0]
    tails = {"boxes_a": (4,), "boxes_b": (4,), "views": (2, *sources.shape[1:]), "iou": (), "weights": ()}
    for name, array in arrays.items():
        if array is not None and array.shape != (count, *tails[name]):
            raise ValueError(
                f"{name} has shape {array.shape}; with sources of shape {sources.shape} it must be "
                f"{(count, *tails[name])}."
            )


def _caption(iou: float, weight: float | None) -> str:
    return f"IoU {iou:.2f}" + ("" if weight is None else f", weight {weight:.2f}")


def _outline(axes: Axes, boxes: tuple[np.ndarray, np.ndarray]) -> None:
    """Draws both boxes on the source: on white lines, to show on any image; the second dashed, to hide no edge."""
    from matplotlib.patches import Rectangle

    lines = [{"edgecolor": "white", "linewidth": 3.0}] * 2 + [
        {"edgecolor": color(0), "linewidth": 1.6},
        {"edgecolor": color(1), "linewidth": 1.6, "linestyle": (0, (3, 1.5))},
    ]
    for (y0, x0, y1, x1), line in zip(boxes * 2, lines, strict=True):
        corner = (x0 - 0.5, y0 - 0.5)  # imshow centres pixel 0 on 0
        axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, clip_on=False, **line))  # type: ignore[arg-type]
