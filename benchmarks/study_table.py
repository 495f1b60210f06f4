"""The study's table: a row a method, a block for each number of epochs, the paper's figure beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.study_lists import Entry
from benchmarks.study_records import images_per_class
from softaug_jax.report import layout
from softaug_jax.report.compare import noise_limit
from softaug_jax.report.paper_table import NOTHING, PAPER_EPOCHS, paper_figure
from softaug_jax.report.placing import Placed, about_otherwise
from softaug_jax.report.runs import OCCLUSION, Run
from softaug_jax.report.statistics import Figure, difference, mean_and_error
from softaug_jax.report.table import MEASURED, SPEED, Column, about_seeds

ERROR, REST = MEASURED[0], MEASURED[1:]
HIDDEN = tuple(Column(f"{OCCLUSION}{share}%", f"{share} % hidden", 100, 2) for share in (20, 40, 60, 80))
HEADER = (
    *("Model", "Method", "n", "Paper", ERROR.header, "Change", "Noise"),
    *(column.header for column in (*REST, *HIDDEN, SPEED)),
)
KEYS = tuple(column.key for column in (ERROR, *REST, *HIDDEN, SPEED))
CSV_HEADER = (
    *("list", "dataset", "model", "method", "epochs", "n", "paper_top1_error", "paper_top1_error_standard_error"),
    *("change", "change_standard_error", "noise_95"),
    *(name for key in KEYS for name in (key, f"{key}_standard_error")),
)


class Line(NamedTuple):
    """A row: its runs, their figures, and the change in top-1 error against the first row of the network."""

    entry: Entry
    runs: list[Run]
    figures: dict[str, Figure]
    change: Figure | None
    noise: float | None  # a change up to this is within noise, at 95 %
    otherwise: str  # how they are measured otherwise than the entry's config says

    def cells(self) -> list[str]:
        """As text; errors in percent."""
        return [
            *(self.entry.model, self.entry.method, str(len(self.runs))),
            layout.shown(paper_figure(self.entry), 100, 2),
            ERROR.shown(self.figures) if self.runs else "not run",
            layout.shown(self.change, 100, 2, "+"),
            "-" if self.noise is None else f"{100 * self.noise:.2f}",
            *(column.shown(self.figures) for column in (*REST, *HIDDEN, SPEED)),
        ]

    def fields(self, name: str, epochs: int) -> list[object]:
        """For CSV; errors and changes are fractions."""
        return [
            *(name, *self.entry[:3], epochs, len(self.runs)),
            *(paper_figure(self.entry) or NOTHING),
            *(self.change or NOTHING),
            self.noise,
            *(value for key in KEYS for value in self.figures.get(key, NOTHING)),
        ]


class StudyTable(NamedTuple):
    """Blocks of lines by epochs, and sentences for below them."""

    name: str
    dataset: str  # and how much of it
    blocks: dict[int, list[Line]]
    notes: list[str]

    def text(self) -> str:
        """In aligned columns, for a terminal."""
        return layout.as_text(self._tables(), 2, self.notes)

    def markdown(self) -> str:
        """As Markdown tables."""
        return layout.as_markdown(self._tables(), 2, self.notes)

    def csv(self) -> str:
        """As CSV."""
        lines = [line.fields(self.name, epochs) for epochs, block in self.blocks.items() for line in block]
        return layout.as_csv([CSV_HEADER, *lines])

    def _tables(self) -> list[tuple[str, list[Sequence[str]]]]:
        return [
            (f"{self.name}, {self.dataset}, {epochs} epochs", [HEADER, *(line.cells() for line in block)])
            for epochs, block in self.blocks.items()
        ]


def study_table(name: str, entries: Sequence[Entry], placed: Placed, epochs: Sequence[int]) -> StudyTable:
    """The table of a list: all its rows, recorded or not, for each number of epochs."""
    blocks = {each: _lines(entries, placed, each) for each in epochs}
    few = images_per_class(entries[0])
    data = entries[0].dataset + (f" ({few} training images of each class)" if few else "")
    return StudyTable(name, data, blocks, _notes(entries, [line for b in blocks.values() for line in b]))


def _lines(entries: Sequence[Entry], placed: Placed, epochs: int) -> list[Line]:
    lines: list[Line] = []
    first: dict[str, Line] = {}  # of each network
    for entry in entries:
        runs, otherwise = placed.runs.get((epochs, entry), []), placed.otherwise.get((epochs, entry), "")
        keys = [key for key in KEYS if runs and all(run.results.get(key) is not None for run in runs)]
        if len(_devices(runs)) > 1:  # their mean is no device's
            keys = [key for key in keys if key != SPEED.key]
        figures = {key: mean_and_error([run.results[key] for run in runs]) for key in keys}
        change = noise = None
        base = first.get(entry.model)
        if base is not None and base.runs and runs and base.otherwise == otherwise:
            change = difference(base.figures[ERROR.key], figures[ERROR.key])
            noise = noise_limit(base.runs, runs)
        lines.append(Line(entry, runs, figures, change, noise, otherwise))
        first.setdefault(entry.model, lines[-1])
    return lines


def _devices(runs: Sequence[Run]) -> list[str]:
    return sorted({f"{run.results['num_devices']} x {run.results['device']}" for run in runs})


def _notes(entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
    """What the columns mean, and what stands behind the figures."""
    notes = [
        f"Change is in points of top-1 error, against {entries[0].method} of the same network. One up to Noise is "
        "within noise at 95 %: over the seeds, where both rows have several; else binomial on the test images, to "
        "which the choice of seed adds."
    ]
    groups = [line.runs for line in lines if line.runs]
    if groups:
        where = ", ".join(_devices([run for members in groups for run in members]))
        notes.append(f"Figures are those after the last epoch, not of the best one, on {where}." + about_seeds(groups))
    notes += about_otherwise((f"{line.entry.method} of {line.entry.model}", line.otherwise) for line in lines)
    if any(entry.paper for entry in entries):
        notes.append(
            f"The paper's are means of 3 runs of {PAPER_EPOCHS} epochs: those of fewer do not compare with them."
        )
    return notes
