"""Writes a document as Markdown, with its figures as files beside it."""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import quote

from softaug_jax.report import layout
from softaug_jax.report.document import Cells, Commands, Document, Notes, Part, Picture


def render(document: Document, folder: Path) -> str:
    """The document as Markdown that will lie in `folder`, relative to which figures are named."""
    blocks = [f"# {_text(document.title)}", *(_part(part, folder) for part in document.opening)]
    for section in document.sections:
        blocks += [f"## {_text(section.title)}", *(_part(part, folder) for part in section.parts)]
    return "\n\n".join(blocks) + "\n"


def _part(part: Part, folder: Path) -> str:
    match part:
        case str():
            return _text(part)
        case Cells(caption, rows, left):
            return f"{_text(caption)}\n\n{layout.markdown([list(map(_text, row)) for row in rows], left)}".rstrip()
        case Picture(path, caption, alternative):
            address = quote(path.relative_to(folder).as_posix())
            return f"![{_text(alternative)}]({address})\n\n{_text(caption)}"
        case Notes(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Commands(lines):
            return "\n".join(["```sh", *lines, "```"])


def _text(text: str) -> str:
    """So that it is shown as it is: Markdown lets HTML through, and takes brackets for links."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return escaped.replace("[", "\\[").replace("]", "\\]")
