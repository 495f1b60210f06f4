"""Which rows of a table a finished run belongs to: those whose configs train the same, and measure it alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from softaug_jax.report.runs import Run
from softaug_jax.run_files import DATA_FIELDS, Tree, settings

if TYPE_CHECKING:
    from configs.tables import Cell

# Fields that decide neither what is trained nor a table's figures; rows hold several seeds and epochs.
FREE = {
    *("name", "seed", "epochs", "eval_every_epochs", "checkpoint_every_epochs", "eval_batch_size"),
    *(*DATA_FIELDS, "data.loader", "data.steps_per_dispatch", "data.skip_unreadable"),
    # What is measured, and nearest neighbours, which no table has; how the rest is measured counts.
    *("evals.periodic", "evals.final", "evals.knn_k", "evals.knn_temperature"),
}


class Stray(NamedTuple):
    """A finished run without a row, and why."""

    workdir: Path
    differences: float  # how many fields keep it from the nearest row; infinite: it is of other data or another network
    why: str
    nearest: Cell | None = None  # the row whose training is nearest, if it is of the table's data and networks

    def __str__(self) -> str:
        return f"{self.workdir} {self.why}"


class Placed(NamedTuple):
    """Finished runs by epochs and cell, and those that have no cell.

    The runs of a cell are measured alike. Where that is not as its config says, `otherwise` says how.
    """

    runs: dict[tuple[int, Cell], list[Run]]
    strays: list[Stray]
    otherwise: dict[tuple[int, Cell], str]


def place(cells: Sequence[Cell], runs: Sequence[Run]) -> Placed:
    """Puts each run into the cells whose configs, at the run's epochs, train the same, if it was tested on their data.

    Those are several where methods or data sets differ in evaluation alone: an energy score is a Baseline's, a network
    trained on ImageNet is tested on two sets.
    The cell's config is built for the run's epochs, so that what follows from them (the final uncropped epochs of the
    soft crop) counts as the same, and what was set by hand does not.
    Of runs that were measured differently a cell keeps those as its config says, or else most of them.
    """
    trainable = [cell for cell in cells if cell.config is not None]
    found: dict[tuple[int, Cell], list[Run]] = {}
    strays: dict[Path, Stray] = {}
    built: dict[int, dict[Cell, Tree]] = {}
    for run in runs:
        epochs = run.config["epochs"]
        if epochs not in built:
            built[epochs] = {cell: trained(cell.build(epochs).to_dict()) for cell in trainable}
        ours = trained(run.config)
        same = [cell for cell, config in built[epochs].items() if config == ours]
        tested = [cell for cell in same if f"{cell.prefix}top1_error" in run.results]
        for cell in tested:
            found.setdefault((epochs, cell), []).append(run)
        if not same:
            strays[run.workdir] = Stray(run.workdir, *_why(ours, built[epochs]))
        elif not tested:
            lacking = " or ".join(dict.fromkeys(f"{cell.prefix}top1_error" for cell in same))
            strays[run.workdir] = Stray(run.workdir, 0, f"has no {lacking}: evals.final of its config lacks it.")
    rows: dict[tuple[int, Cell], list[Run]] = {}
    otherwise: dict[tuple[int, Cell], str] = {}
    for (epochs, cell), members in found.items():
        kept, words, rest = measured_alike(members, cell.build(epochs).to_dict(), cell.method)
        rows[epochs, cell] = kept
        if words:
            otherwise[epochs, cell] = words
        for stray in rest:
            strays.setdefault(stray.workdir, stray)
    return Placed(rows, list(strays.values()), otherwise)


def trained(config: Tree) -> Tree:
    """What decides what is trained: the config, flat, as JSON has it, without seed, epochs and evals."""
    return {name: value for name, value in _counting(config).items() if not name.startswith("evals.")}


def measured_alike(runs: Sequence[Run], config: Tree, method: str) -> tuple[list[Run], str, list[Stray]]:
    """Of a method's runs those measured as the config says, or if there are none, the largest number that are alike;
    how that is otherwise than the config says, in words; and the rest.
    """
    alike = lambda theirs: [run for run in runs if not _otherwise(run.config, theirs)]
    kept = alike(config) or max((alike(run.config) for run in runs), key=len)
    rest = []
    for run in runs:
        if run not in kept:
            words = _otherwise(run.config, kept[0].config)
            why = f"is measured otherwise than the runs of {method}, with {'; '.join(words)}."
            rest.append(Stray(run.workdir, len(words), why))
    return kept, "; ".join(_otherwise(kept[0].config, config)), rest


def about_otherwise(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences on rows that are measured otherwise than their configs say, of each row's name and in what."""
    by_words: dict[str, list[str]] = {}
    for name, words in rows:
        if words:
            by_words.setdefault(words, []).append(name)
    return [
        f"Measured with {words}: {', '.join(names)}. Change is between rows that are measured alike."
        for words, names in by_words.items()
    ]


def _counting(config: Tree) -> Tree:
    return {name: value for name, value in settings(json.loads(json.dumps(config))).items() if name not in FREE}


def _otherwise(ours: Tree, theirs: Tree) -> list[str]:
    """How the first config measures otherwise; a field that only one of them has is of a later version."""
    a, b = ({n: value for n, value in _counting(c).items() if n.startswith("evals.")} for c in (ours, theirs))
    return [f"{name} = {a[name]}, not {b[name]}" for name in sorted(a.keys() & b.keys()) if a[name] != b[name]]


def _why(ours: Tree, built: dict[Cell, Tree]) -> tuple[float, str, Cell | None]:
    """In how many fields the row that is nearest differs, which row and fields those are, and the row."""
    near = [
        cell
        for cell in built
        if (cell.trained_on or cell.dataset, cell.model) == (ours.get("dataset"), ours.get("model.name"))
    ]
    if not near:
        return (
            inf,
            f"is of {ours.get('dataset')} and {ours.get('model.name')}, which the table was not asked for.",
            None,
        )
    differences = {cell: differing(ours, built[cell]) for cell in near}
    cell = min(near, key=lambda cell: len(differences[cell]))
    fields = differences[cell]
    more = f" and {len(fields) - 4} more" if len(fields) > 4 else ""
    return len(fields), f"is nearest to {cell.method}, but has {'; '.join(fields[:4])}{more}.", cell


def differing(ours: Tree, theirs: Tree) -> list[str]:
    """In what the first config differs from the second, both flat: a field with its two values."""
    names = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    return [f"{name} = {ours.get(name)}, not {theirs.get(name)}" for name in names]
