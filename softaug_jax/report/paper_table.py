"""A table of the paper, or the extras, with our runs beside the paper's numbers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from softaug_jax import commands
from softaug_jax.report import layout
from softaug_jax.report.other_rows import give_rows
from softaug_jax.report.paper import lookup
from softaug_jax.report.placing import Placed, Stray, about_otherwise, place
from softaug_jax.report.runs import Run
from softaug_jax.report.statistics import Figure, difference, mean_and_error
from softaug_jax.report.table import about_seeds

if TYPE_CHECKING:
    from configs.tables import Cell

PAPER_EPOCHS = 500  # of classification on CIFAR
HEADER = ("Data", "Model", "Method", "Epochs", "Paper", "Ours", "n", "Change, paper", "Change, ours", "NLL", "ECE %")
LEFT = 3  # columns that say what a row is of
CSV_HEADER = (
    *("dataset", "model", "method", "epochs", "paper_top1_error", "paper_top1_error_standard_error"),
    *("top1_error", "top1_error_standard_error", "n", "paper_change", "change", "change_standard_error"),
    *("nll", "nll_standard_error", "ece", "ece_standard_error", "paper_ece", "paper_ece_standard_error"),
)
PAPER_ECE = "Paper ECE %"  # a last column where the paper has any
NOTHING = (None, None)

Trained = tuple[str, str]  # a data set, and a network on it


class Line(NamedTuple):
    """A row: the paper's figure and ours, as fractions, and each one's change against the baseline's."""

    cell: Cell
    runs: list[Run]
    paper: Figure | None
    paper_change: Figure | None
    figures: dict[str, Figure]  # of ours, as far as measured: top1_error, nll, ece
    change: Figure | None
    paper_ece: Figure | None = None
    otherwise: str = ""  # how ours are measured otherwise than the cell's config says

    def cells(self, epochs: int) -> list[str]:
        """As text; errors in percent."""
        missing = "not run"
        if self.cell.config is None:
            missing = "no config yet" if "no config" in self.cell.reason else "see below"
        paper_change = self.paper_change and (self.paper_change[0], None)  # as the paper prints it
        return [
            *self.cell[:3],
            f"{epochs:g}" if self.cell.config or self.runs else "-",
            layout.shown(self.paper, 100, 2),
            layout.shown(self.figures["top1_error"], 100, 2) if self.runs else missing,
            str(len(self.runs)),
            layout.shown(paper_change, 100, 2, "+"),
            layout.shown(self.change, 100, 2, "+"),
            layout.shown(self.figures.get("nll"), 1, 3),
            layout.shown(self.figures.get("ece"), 100, 2),
        ]

    def fields(self, epochs: int) -> list[object]:
        """For CSV."""
        ours = [value for key in ("nll", "ece") for value in self.figures.get(key, NOTHING)]
        return [
            *self.cell[:3],
            epochs if self.cell.config or self.runs else None,
            *(self.paper or NOTHING),
            *self.figures.get("top1_error", NOTHING),
            len(self.runs),
            (self.paper_change or NOTHING)[0],
            *(self.change or NOTHING),
            *ours,
            *(self.paper_ece or NOTHING),
        ]


class PaperTable(NamedTuple):
    """Blocks of lines, one for each number of epochs, and sentences for below them."""

    name: str
    blocks: dict[int, list[Line]]
    notes: list[str]
    strays: list[Stray]  # finished runs without a row, and why

    def text(self) -> str:
        """In aligned columns, for a terminal."""
        return layout.as_text(self.tables(), LEFT, self.notes)

    def markdown(self) -> str:
        """As Markdown tables."""
        return layout.as_markdown(self.tables(), LEFT, self.notes)

    def csv(self) -> str:
        """As CSV; errors and changes are fractions."""
        lines = [line.fields(epochs) for epochs, block in self.blocks.items() for line in block]
        return layout.as_csv([CSV_HEADER, *lines])

    def tables(self) -> list[tuple[str, list[Sequence[str]]]]:
        """The blocks as text, each with its title; its first row is the header, its first LEFT columns are names."""
        has_ece = any(line.paper_ece for block in self.blocks.values() for line in block)
        tables: list[tuple[str, list[Sequence[str]]]] = []
        for epochs, block in self.blocks.items():
            rows: list[Sequence[str]] = [HEADER, *(line.cells(epochs) for line in block)]
            if has_ece:
                column = [PAPER_ECE, *(layout.shown(line.paper_ece, 100, 2) for line in block)]
                rows = [[*row, cell] for row, cell in zip(rows, column, strict=True)]
            tables.append((f"{self.name}, {epochs:g} epochs: top-1 error in %", rows))
        return tables


def paper_table(
    name: str,
    runs: Sequence[Run],
    datasets: Sequence[str] = (),
    models: Sequence[str] = (),
    *,
    others: bool = False,
) -> PaperTable:
    """Sets finished runs beside the paper's numbers.

    Without `models`, networks that the table lacks and a run has get its rows too. With `others`, so do methods.

    Raises:
      UsageError: if this is no checkout, or a name is unknown.
    """
    cells = commands.cells(name, datasets, models)
    own = {cell[:2] for cell in cells}
    finished = [run for run in runs if run.summary is not None]
    if not models:
        shown = {cell.dataset for cell in cells}
        trained = {(run.config["dataset"], run.config["model"]["name"]) for run in finished}
        for dataset, model in sorted(trained - own):
            cells += commands.cells(name, [dataset], [model]) if dataset in shown else []
    placed = place(cells, finished)
    about_others: list[str] = []
    if others:
        placed, more, about_others = give_rows(placed, finished)
        cells += more
    blocks = _blocks(cells, placed, own)
    return PaperTable(name, blocks, [*_notes(name, blocks), *about_others], placed.strays)


def usual_epochs(cell: Cell) -> int:
    """Those of its config."""
    return cell.build().epochs if cell.config is not None else PAPER_EPOCHS


def _blocks(cells: Sequence[Cell], placed: Placed, own: set[Trained]) -> dict[int, list[Line]]:
    groups: dict[Trained, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell[:2], []).append(cell)
    blocks: dict[int, list[Line]] = {}
    for group, in_blocks in _epochs_of(groups, placed, own).items():
        for epochs in in_blocks:
            blocks.setdefault(epochs, []).extend(_lines(groups[group], epochs, placed))
    return dict(sorted(blocks.items()))


def _epochs_of(groups: dict[Trained, list[Cell]], placed: Placed, own: set[Trained]) -> dict[Trained, set[int]]:
    """A network on a data set is in the blocks of the epochs it was run for. One of the table's that was not run at all
    is in the block of most epochs of the networks that are usually trained as long, or of the usual ones if none was.
    """
    run_for = {group: {epochs for epochs, cell in placed.runs if cell[:2] == group} for group in groups}
    usual = {group: usual_epochs(members[0]) for group, members in groups.items()}
    found = dict(run_for)
    for group in own:
        if not run_for[group]:
            alike = [epochs for other in own if usual[other] == usual[group] for epochs in run_for[other]]
            found[group] = {max(alike, default=usual[group])}
    return found


def _lines(members: Sequence[Cell], epochs: int, placed: Placed) -> list[Line]:
    """The rows of one network on one data set, the baseline first."""
    lines: list[Line] = []
    for cell in members:
        if cell.config is None and not cell.reason and (epochs, cell) not in placed.runs:
            continue  # a row of a run's own, of other epochs
        runs, otherwise = placed.runs.get((epochs, cell), []), placed.otherwise.get((epochs, cell), "")
        names = {key: f"{cell.prefix}{key}" for key in ("top1_error", "nll", "ece")}
        measured = {key: name for key, name in names.items() if runs and all(name in run.results for run in runs)}
        figures = {key: mean_and_error([run.results[name] for run in runs]) for key, name in measured.items()}
        base = lines[0] if lines else None
        paper = paper_figure(cell)
        paper_change = difference(base.paper, paper) if base and base.paper and paper else None
        change = None
        if base and base.runs and runs and base.otherwise == otherwise:
            change = difference(base.figures["top1_error"], figures["top1_error"])
        paper_ece = paper_figure(cell, "ece") if cell.paper and cell.paper.table == 3 else None  # no other has any
        lines.append(Line(cell, runs, paper, paper_change, figures, change, paper_ece, otherwise))
    return lines


def paper_figure(cell: Cell, metric: str = "top1_error") -> Figure | None:
    """The paper's top-1 error or ECE, a fraction; None where it has none."""
    if cell.paper is None:
        return None
    found = lookup(cell.paper.dataset, cell.paper.model, cell.paper.method, metric=metric, table=cell.paper.table)
    error = None if found.standard_error is None else round(found.standard_error / 100, 6)
    return round(found.mean / 100, 6), error


def _notes(name: str, blocks: dict[int, list[Line]]) -> list[str]:
    lines = [line for block in blocks.values() for line in block]
    notes = ["Change is in points, against Baseline; the paper's is that of the means it prints."]
    if tables := {line.cell.paper.table for line in lines if line.cell.paper}:
        about = "how many epochs it does not say" if tables == {4} else f"of {PAPER_EPOCHS} epochs on CIFAR"
        quotes = any(figure and figure[1] is None for line in lines for figure in (line.paper, line.paper_ece))
        notes[0] += f" The paper's {'own ' if quotes else ''}figures are means of 3 runs, {about}"
        notes[0] += "; those without ± it quotes from others." if quotes else "."
    if runs := [line.runs for line in lines if line.runs]:
        notes.append("Ours are those after the last epoch, not of the best one." + about_seeds(runs))
    notes += about_otherwise(
        (f"{line.cell.method} of {line.cell.model} on {line.cell.dataset}, {epochs:g} epochs", line.otherwise)
        for epochs, block in blocks.items()
        for line in block
    )
    notes += dict.fromkeys(f"{line.cell.reason}." for line in lines if line.cell.reason)
    for epochs, block in blocks.items():
        notes += _to_run(name, epochs, block)
    return notes


def _to_run(name: str, epochs: int, block: Sequence[Line]) -> list[str]:
    """What is not run, and the commands that run it: networks that lack the same methods share one."""
    lacking: dict[Trained, list[str]] = {}
    rows = {line.cell.method: line.cell.slug for line in block}
    usual = {line.cell.dataset: usual_epochs(line.cell) for line in block}
    for line in block:
        if line.cell.config is not None and not line.runs:
            lacking.setdefault(line.cell[:2], []).append(line.cell.method)
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (dataset, model), names in lacking.items():
        shared.setdefault((dataset, tuple(names)), []).append(model)
    notes = []
    for (dataset, methods), models in shared.items():
        words = ["python", "-m", "softaug_jax.sweep", name, f"--dataset={dataset}"]
        words += [f"--model={model}" for model in models]
        words += [f"--method={rows[method]}" for method in methods if len(methods) < len(rows)]
        words += [f"--epochs={epochs:g}"] if epochs != usual[dataset] else []
        notes.append(f"Not run, {dataset}, {', '.join(models)}: {'; '.join(methods)}. To run: {shlex.join(words)}")
    return notes
