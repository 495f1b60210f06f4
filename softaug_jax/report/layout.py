"""Tables of text cells: in aligned columns, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from softaug_jax.report.statistics import Figure


def aligned(cells: Sequence[Sequence[str]], left: int) -> str:
    """In columns, for a terminal; the first row is the header, the first `left` columns are aligned left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    align = [str.ljust if i < left else str.rjust for i in range(len(widths))]
    pad = lambda row: "  ".join(a(cell, w) for a, cell, w in zip(align, row, widths, strict=True)).rstrip()
    lines = [pad(cells[0]), "  ".join("-" * width for width in widths), *map(pad, cells[1:])]
    return "\n".join(lines) + "\n"


def markdown(cells: Sequence[Sequence[str]], left: int) -> str:
    """As a Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    rule = ["---"] * left + ["---:"] * (len(cells[0]) - left)
    return "".join(f"| {' | '.join(row)} |\n" for row in [escaped[0], rule, *escaped[1:]])


def as_text(tables: Iterable[tuple[str, Sequence[Sequence[str]]]], left: int, notes: Iterable[str]) -> str:
    """Tables in aligned columns, each below its title where it has one, and below them the notes, one a line."""
    parts = [(f"{title}\n" if title else "") + aligned(cells, left) for title, cells in tables]
    return "\n".join([*parts, *notes]) + "\n"


def as_markdown(tables: Iterable[tuple[str, Sequence[Sequence[str]]]], left: int, notes: Iterable[str]) -> str:
    """The same as Markdown tables, the notes as paragraphs."""
    parts = [(f"{title}\n\n" if title else "") + markdown(cells, left) for title, cells in tables]
    return "\n".join([*parts, *(f"{note}\n" for note in notes)])


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """As CSV; None is an empty field."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def shown(figure: Figure | None, scale: float, digits: int, sign: str = "") -> str:
    """A mean and, where there is one, its standard error; "-" for what was not measured."""
    if figure is None:
        return "-"
    mean, error = figure
    text = f"{scale * mean:{sign}.{digits}f}"
    return text if error is None else f"{text} ± {scale * error:.{digits}f}"
