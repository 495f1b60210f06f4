"""Images at several levels of occlusion, with what networks say of each (arXiv:2211.04625, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softaug_jax.report.figures import show_image
from softaug_jax.report.style import COLORS, drawing

RIGHT, WRONG = COLORS[0], COLORS[1]  # blue and vermilion; the marks say it without colours
LONGEST = 14  # characters of a class's name that fit below an image


class Verdict(NamedTuple):
    """What a network says of an image."""

    name: str  # of the class
    confidence: float  # in [0, 1]
    is_right: bool


def occluded_examples(
    path: str | Path,
    images: np.ndarray,
    names: Sequence[str],
    shares: Sequence[float],
    verdicts: Mapping[str, Sequence[Sequence[Verdict]]],
) -> None:
    """Draws one row an image and one column a share, and below each image one line a network.

    Args:
      path: of the PNG.
      images: as the networks see them, [rows, columns, H, W, C], C 1 or 3, pixels in [0, 255].
      names: of the rows' true classes.
      shares: of the image that are covered, by column, in [0, 1].
      verdicts: by the networks' labels, for each row and column.
    """
    rows, columns = images.shape[:2]
    letters = [chr(ord("A") + i) for i in range(len(verdicts))] if len(verdicts) > 1 else [""]
    height = (
        (1.2 * images.shape[2] / images.shape[3] + 0.04 + 0.15 * len(verdicts)) * rows + 0.55 + 0.16 * len(verdicts)
    )
    grid = {"nrows": rows, "ncols": columns}
    with drawing(path, 1.32 * columns + 0.3, height, **grid) as (figure, all_axes):
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, rect=(0, 0, 1, 0.985))  # type: ignore[union-attr, call-arg]
        for number, axes in enumerate(all_axes):
            row, column = divmod(number, columns)
            show_image(axes, images[row, column])
            if row == 0:
                axes.set_title(f"λ = {100 * shares[column]:.0f} %", fontsize=8.5, pad=4)
            if column == 0:
                axes.set_ylabel(_short(names[row]), fontsize=8.5, labelpad=4)
            for line, (letter, table) in enumerate(zip(letters, verdicts.values(), strict=True)):
                _write(axes, line, letter, table[row][column])
        known = [f"{letter}: {label}" if letter else label for letter, label in zip(letters, verdicts, strict=True)]
        figure.supxlabel(
            "\n".join([*known, "✓ right (blue), ✗ wrong (orange), with the predicted class's probability"]),
            fontsize=7.5,
        )


def _write(axes: object, line: int, letter: str, verdict: Verdict) -> None:
    """One verdict, in the `line`-th line below the image."""
    mark, colour = ("✓", RIGHT) if verdict.is_right else ("✗", WRONG)
    words = f"{letter} {mark} {_short(verdict.name)} {100 * verdict.confidence:.0f} %".strip()
    axes.annotate(  # type: ignore[attr-defined]
        words,
        (0.5, 0.0),
        xycoords="axes fraction",
        xytext=(0, -3 - 10 * line),
        textcoords="offset points",
        ha="center",
        va="top",
        color=colour,
        fontsize=6.8,
    )


def _short(name: str) -> str:
    """A class's name, cut where it would run into the next image's."""
    name = name.replace("_", " ").split(",")[0]
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
