"""Rows for what a table lacks, such as a method of one's own: below those of the same data and network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from softaug_jax.report.placing import Placed, Stray, differing, measured_alike, trained
from softaug_jax.report.runs import Run

if TYPE_CHECKING:
    from configs.tables import Cell


class Others(NamedTuple):
    """Cells of their own for runs that had none."""

    placed: Placed
    cells: list[Cell]
    notes: list[str]  # sentences that say in what each differs from the table's nearest row


def give_rows(placed: Placed, runs: Iterable[Run]) -> Others:
    """Gives the strays on the table's data and networks a cell for each training, named by its method.

    Trainings that are called the same are numbered; the notes tell them apart.
    """
    by_workdir = {run.workdir: run for run in runs}
    groups: dict[tuple[int, str], list[Stray]] = {}
    strays: list[Stray] = []
    for stray in placed.strays:
        run = by_workdir[stray.workdir]
        if stray.nearest is None or f"{stray.nearest.prefix}top1_error" not in run.results:
            strays.append(stray)
        else:
            training = json.dumps(trained(run.config), sort_keys=True)
            groups.setdefault((run.config["epochs"], training), []).append(stray)
    found = Others(Placed(dict(placed.runs), strays, dict(placed.otherwise)), [], [])
    for (epochs, _), members in groups.items():
        nearest = members[0].nearest
        assert nearest is not None
        ours = [by_workdir[stray.workdir] for stray in members]
        others = [other for other_epochs, other in found.placed.runs if other_epochs == epochs]
        cell = _cell(nearest, ours[0], others)
        if cell not in found.cells:  # of other epochs
            found.cells.append(cell)
        found.notes.append(f"{cell.method}, {epochs:g} epochs, {members[0].why}")
        if first := next((other for other in others if _are_alike(other, cell)), None):  # the fields above may be cut
            fields = differing(trained(ours[0].config), trained(found.placed.runs[epochs, first][0].config))
            found.notes.append(f"{cell.method}, {epochs:g} epochs, differs from {first.method}: {'; '.join(fields)}.")
        kept, words, rest = measured_alike(ours, nearest.build(epochs).to_dict(), cell.method)
        found.placed.runs[epochs, cell] = kept
        found.placed.strays.extend(rest)
        if words:
            found.placed.otherwise[epochs, cell] = words
    return found


def _cell(nearest: Cell, run: Run, others: Iterable[Cell]) -> Cell:
    """A row without a config of the table's, nor a number of the paper's; `others` are those of the same epochs."""
    assert run.summary is not None
    method = run.summary["method"]
    cell = nearest._replace(method=method, slug=method, config=None, arguments="", paper=None)
    alike = sum(_are_alike(other, cell) for other in others)
    return cell._replace(method=f"{method} ({alike + 1})") if alike else cell


def _are_alike(one: Cell, other: Cell) -> bool:
    """Whether two methods of one network on one data set are called the same, but for a number."""
    return (*one[:2], one.slug) == (*other[:2], other.slug)
