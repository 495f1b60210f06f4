"""What a page of results consists of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cells(NamedTuple):
    """A table of text; the first row is the header, the first `left` columns say what a row is of."""

    caption: str
    rows: Sequence[Sequence[str]]
    left: int


class Picture(NamedTuple):
    """A figure that is drawn: its PNG, what stands below it, and what it shows for those who do not see it."""

    path: Path
    caption: str
    alternative: str


class Notes(NamedTuple):
    """Sentences, one below the other."""

    items: Sequence[str]


class Commands(NamedTuple):
    """Lines for a shell."""

    lines: Sequence[str]


Part = str | Cells | Picture | Notes | Commands  # a string is a paragraph


class Section(NamedTuple):
    """A part of the page with a heading; `name` is unique and plain, for links to it."""

    name: str
    title: str
    parts: Sequence[Part]


class Document(NamedTuple):
    """The whole page."""

    title: str
    opening: Sequence[Part]
    sections: Sequence[Section]
