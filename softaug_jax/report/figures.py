"""Figures of the method itself: the softening curves, and images with what is visible of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softaug_jax.report.style import REFERENCE, color, drawing
from softaug_jax.softening import confidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def softening_curves(
    path: str | Path,
    p_min: float,
    ks: Sequence[float] = (1, 2, 3, 4),
    *,
    p_max: float = 1.0,
    chosen: float | None = None,
) -> None:
    """Draws confidence against visibility for several k (arXiv:2211.04625, Fig. 2, right).

    Args:
      path: of the PNG.
      p_min: confidence at visibility 0.
      ks: shapes of the curves.
      p_max: confidence at visibility 1.
      chosen: the k to draw bold, added to `ks` if it is not one of them.
    """
    ks = sorted({*map(float, ks), *([] if chosen is None else [float(chosen)])})
    visibility = np.linspace(0.0, 1.0, 201)
    with drawing(path, 3.6, 2.9) as (_, (axes,)):
        for number, k in enumerate(ks):
            is_chosen = k == chosen
            axes.plot(
                visibility,
                np.asarray(confidence(visibility, k=k, p_min=p_min, p_max=p_max)),
                color=color(number),
                linewidth=2.6 if is_chosen else 1.4,
                label=f"$k$ = {k:g}" + (" (this run)" if is_chosen else ""),
            )
        axes.axhline(p_min, label=f"$p_{{min}}$ = {p_min:.3g}", **REFERENCE)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Visibility $v$", ylabel="Confidence $p$")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.08))


def image_grid(path: str | Path, images: np.ndarray, captions: Sequence[str], *, columns: int = 8) -> None:
    """Draws images in rows, each with a caption below; small ones are enlarged without smoothing.

    Args:
      path: of the PNG.
      images: [n, H, W, C], C 1 or 3, pixels in [0, 255], uint8 or float; values outside are clipped.
      captions: n short texts.
      columns: images a row.

    Raises:
      ValueError: if the shapes or the number of captions do not fit.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) != len(captions) or not len(images):
        raise ValueError(f"images have shape {images.shape} and there are {len(captions)} captions; need [n, H, W, C].")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_height = (
        1.35 * images.shape[1] / images.shape[2] + 0.12 + 0.13 * max(text.count("\n") + 1 for text in captions)
    )
    with drawing(path, 1.45 * columns, cell_height * rows, nrows=rows, ncols=columns) as (figure, all_axes):
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
        for axes in all_axes[len(images) :]:
            axes.set_axis_off()
        for axes, image, caption in zip(all_axes, images, captions, strict=False):
            show_image(axes, image, caption)


def show_image(axes: Axes, image: np.ndarray, caption: str = "", frame: str = "#BBBBBB", width: float = 0.6) -> None:
    """Shows an image [H, W, C], C 1 or 3, pixels in [0, 255], in a frame of a colour and a width in points."""
    pixels = np.clip(np.rint(image.astype(np.float32)), 0, 255).astype(np.uint8)
    axes.imshow(np.repeat(pixels, 3 // pixels.shape[-1], axis=-1), interpolation="nearest")
    axes.set_axis_on()
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(caption, fontsize=7.5, labelpad=3)
    axes.spines[:].set(visible=True, color=frame, linewidth=width)
