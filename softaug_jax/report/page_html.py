"""Writes a document as one HTML file that needs nothing else: figures are within it, and it runs no script."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from html import escape

from softaug_jax.report.document import Cells, Commands, Document, Notes, Part, Picture, Section
from softaug_jax.report.style import DPI

CSS_DPI = 96  # CSS pixels an inch
EMPTY = ("-", "not run")  # cells without a figure

# Nothing is fetched, whatever a name in a config contains.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --faint: #666666; --rule: #d9d9d9;
  --shade: #f4f5f7; --link: #0060a0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #16181b; --faint: #a3a3a3; --rule: #3a3d42; --shade: #202327; --link: #7cc0f5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; padding-top: 0.5rem; border-top: 1px solid var(--rule); }
p, li { max-width: 48rem; }
a { color: var(--link); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.4rem; }
th, td { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { font-weight: 400; }
thead th { font-weight: 600; background: var(--shade); }
.name { text-align: left; }
.empty { color: var(--faint); }
.notes { font-size: 0.875rem; color: var(--faint); padding-left: 1.2rem; }
figure { margin: 1.5rem 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; padding: 0.4rem; border-radius: 0.3rem; }
figcaption { font-size: 0.875rem; color: var(--faint); max-width: 48rem; margin-top: 0.4rem; }
pre { overflow-x: auto; background: var(--shade); padding: 0.8rem; font-size: 0.8rem; border-radius: 0.3rem; }
@media print { .wide, pre { overflow: visible; } pre { white-space: pre-wrap; } }
"""


def render(document: Document) -> str:
    """The document as HTML; reads the figures, which must be drawn.

    Raises:
      OSError: if a figure can't be read.
    """
    title = escape(document.title)
    links = "".join(
        f'<li><a href="#{escape(section.name)}">{escape(section.title)}</a></li>\n' for section in document.sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f'{_parts(document.opening)}<nav aria-label="Contents">\n<ul>\n{links}</ul>\n</nav>\n'
        f"{''.join(map(_section, document.sections))}</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    heading = f'<h2 id="{escape(section.name)}">{escape(section.title)}</h2>'
    return f"<section>\n{heading}\n{_parts(section.parts)}</section>\n"


def _parts(parts: Sequence[Part]) -> str:
    return "".join(map(_part, parts))


def _part(part: Part) -> str:
    match part:
        case str():
            return f"<p>{escape(part)}</p>\n"
        case Cells():
            return _table(part)
        case Picture():
            return _figure(part)
        case Notes(items):
            return f'<ul class="notes">\n{"".join(f"<li>{escape(item)}</li>{chr(10)}" for item in items)}</ul>\n'
        case Commands(lines):
            return f'<pre tabindex="0">{escape(chr(10).join(lines))}</pre>\n'


def _table(table: Cells) -> str:
    """In a box that scrolls on its own, which the keyboard reaches, so that a phone keeps the page's width."""
    header, *rows = table.rows
    head = "".join(_cell(cell, "col", number < table.left) for number, cell in enumerate(header))
    body = ""
    for row in rows:
        cells = (_cell(cell, "row" if n < table.left else "", n < table.left) for n, cell in enumerate(row))
        body += f"<tr>{''.join(cells)}</tr>\n"
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(table.caption)}">\n<table>\n'
        f"<caption>{escape(table.caption)}</caption>\n<thead>\n<tr>{head}</tr>\n</thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _cell(text: str, scope: str, is_name: bool) -> str:
    names = [name for name, holds in (("name", is_name), ("empty", text in EMPTY)) if holds]
    attributes = (f' scope="{scope}"' if scope else "") + (f' class="{" ".join(names)}"' if names else "")
    tag = "th" if scope else "td"
    return f"<{tag}{attributes}>{escape(text)}</{tag}>"


def _figure(picture: Picture) -> str:
    png = picture.path.read_bytes()
    width, height = (round(size * CSS_DPI / DPI) for size in struct.unpack(">II", png[16:24]))  # of the PNG's IHDR
    return (
        f'<figure>\n<img src="data:image/png;base64,{base64.b64encode(png).decode()}" width="{width}" '
        f'height="{height}" alt="{escape(picture.alternative)}">\n'
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>\n"
    )
