"""The comparison of finished runs: one row for each group of runs that differ only by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from softaug_jax.report import layout
from softaug_jax.report.compare import differences
from softaug_jax.report.runs import OCCLUSION, Run, group, labels
from softaug_jax.report.statistics import Figure, mean_and_error


class Column(NamedTuple):
    """A figure of the summary and how it is shown."""

    key: str
    header: str
    scale: float
    digits: int

    def shown(self, figures: Mapping[str, Figure]) -> str:
        """It among the figures of a row, as text."""
        return layout.shown(figures.get(self.key), self.scale, self.digits)


class Row(NamedTuple):
    """A group: what it is, how many runs, and mean and standard error of each figure that all of them have."""

    facts: tuple[str, ...]
    n: int
    figures: dict[str, Figure]


FACTS = ("Config", "Method", "Data", "Model", "Epochs")
MEASURED = (
    Column("top1_error", "Top-1 error %", 100, 2),
    Column("nll", "NLL", 1, 3),
    Column("ece", "ECE %", 100, 2),
)
SPEED = Column("examples_per_second", "Images/s", 1, 0)


class Table(NamedTuple):
    """Rows of figures, and sentences for below them."""

    columns: tuple[Column, ...]
    rows: list[Row]
    notes: list[str]
    facts: tuple[str, ...] = FACTS

    def text(self) -> str:
        """In aligned columns, for a terminal."""
        return layout.as_text([("", self._cells())], len(self.facts) - 1, self.notes)

    def markdown(self) -> str:
        """As a Markdown table."""
        return layout.as_markdown([("", self._cells())], len(self.facts) - 1, self.notes)

    def csv(self) -> str:
        """As CSV: the summaries' own names and units (errors are fractions), a mean and a standard error a figure."""
        names = [name for column in self.columns for name in (column.key, f"{column.key}_standard_error")]
        rows: list[list[object]] = [[*(fact.lower() for fact in self.facts), "n", *names]]
        for row in self.rows:
            figures = [value for column in self.columns for value in row.figures.get(column.key, (None, None))]
            rows.append([*row.facts, row.n, *figures])
        return layout.as_csv(rows)

    def _cells(self) -> list[list[str]]:
        header = [*self.facts, "n", *(column.header for column in self.columns)]
        return [header, *([*row.facts, str(row.n), *(c.shown(row.figures) for c in self.columns)] for row in self.rows)]


def comparison(runs: Sequence[Run]) -> Table:
    """Compares finished runs; those that are not finished are left out.

    Raises:
      ValueError: if no run is finished.
    """
    finished = [run for run in runs if run.summary is not None]
    if not finished:
        raise ValueError("No run is finished.")
    groups = group(finished)
    names = labels(groups)
    notes = ["Figures are those after the last epoch, not of the best one." + about_seeds(groups)]
    for members, name in zip(groups[1:], names[1:], strict=True):
        notes.append(differences(groups[0], members, names[0], name))
    rows = [_row(members) for members in groups]
    return Table(_columns(rows), rows, notes)


def _row(members: Sequence[Run]) -> Row:
    config = members[0].config
    facts = (config["name"], members[0].label, config["dataset"], config["model"]["name"], f"{config['epochs']:g}")
    shared = set.intersection(*(set(run.results) for run in members))
    values = {key: [run.results[key] for run in members] for key in shared}
    # A run that only had its end to do has no images a second, but None.
    numbers = {key: own for key, own in values.items() if all(isinstance(value, (int, float)) for value in own)}
    figures = {key: mean_and_error(own) for key, own in numbers.items()}
    return Row(facts, len(members), figures)


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The usual ones, and one for each occlusion level that a row has; nothing occluded is the top-1 error."""
    levels = {key.removeprefix(OCCLUSION) for row in rows for key in row.figures if key.startswith(OCCLUSION)} - {"0%"}
    ordered = sorted(levels, key=lambda level: float(level.rstrip("%")))
    occluded = [Column(OCCLUSION + level, f"{level} hidden", 100, 2) for level in ordered]
    return (*MEASURED, *occluded, SPEED)


def about_seeds(groups: Sequence[Sequence[Run]]) -> str:
    """A sentence, begun with a space, on what ± means and on seeds that occur twice; empty if each has one run."""
    seeds = [("a row", [run.config["seed"] for run in members]) for members in groups]
    return "".join(f" {note}" for note in seed_notes("runs", seeds))


def seed_notes(what: str, rows: Sequence[tuple[str, Sequence[Any]]]) -> list[str]:
    """Sentences on what ± means and on seeds that occur twice, of what each row is called and the seeds it has."""
    notes = []
    if any(len(seeds) > 1 for _, seeds in rows):
        notes.append(f"n {what} of a row differ only by seed; ± is the standard error of their mean.")
    sharing = dict.fromkeys(name for name, seeds in rows if len(set(seeds)) < len(seeds))
    return notes + [f"Some {what} of {name} share a seed: its standard error is too small." for name in sharing]
