"""Which rows of a table a finished run belongs to: those whose configs train the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from softaug_jax.report.runs import Run
from softaug_jax.run_files import Tree, settings

if TYPE_CHECKING:
    from configs.tables import Cell

# Fields that decide nothing of what is trained, beside data (but one) and evals; rows hold several seeds and epochs.
FREE = ("name", "seed", "epochs", "eval_every_epochs", "checkpoint_every_epochs", "eval_batch_size")
FREE_PREFIXES = ("data.", "evals.")


class Placed(NamedTuple):
    """Finished runs by epochs and cell, and for each run that has no cell, why."""

    runs: dict[tuple[int, Cell], list[Run]]
    strays: list[str]


def place(cells: Sequence[Cell], runs: Sequence[Run]) -> Placed:
    """Puts each run into the cells whose configs, at the run's epochs, train the same, if it was tested on their data.

    Those are several where methods or data sets differ in evaluation alone: an energy score is a Baseline's, a network
    trained on ImageNet is tested on two sets.
    The cell's config is built for the run's epochs, so that what follows from them (the final uncropped epochs of the
    soft crop) counts as the same, and what was set by hand does not.
    """
    trainable = [cell for cell in cells if cell.config is not None]
    found: dict[tuple[int, Cell], list[Run]] = {}
    strays = []
    built: dict[int, dict[Cell, Tree]] = {}
    for run in runs:
        epochs = run.config["epochs"]
        if epochs not in built:
            built[epochs] = {cell: trained(cell.build(epochs).to_dict()) for cell in trainable}
        ours = trained(run.config)
        same = [cell for cell, config in built[epochs].items() if config == ours]
        for cell in same:
            if f"{cell.prefix}top1_error" in run.results:
                found.setdefault((epochs, cell), []).append(run)
        if not same:
            strays.append(f"{run.workdir} {_why(ours, built[epochs])}")
    return Placed(found, strays)


def trained(config: Tree) -> Tree:
    """What decides what is trained: the config, flat, as JSON has it, without seed, epochs, data and evals."""
    flat = settings(json.loads(json.dumps(config)))
    return {name: value for name, value in flat.items() if not _is_free(name)}


def _is_free(name: str) -> bool:
    return name in FREE or (name.startswith(FREE_PREFIXES) and name != "data.images_per_class")


def _why(ours: Tree, built: dict[Cell, Tree]) -> str:
    """The row that is nearest, and in what it differs."""
    near = [
        cell
        for cell in built
        if (cell.trained_on or cell.dataset, cell.model) == (ours.get("dataset"), ours.get("model.name"))
    ]
    if not near:
        return f"is of {ours.get('dataset')} and {ours.get('model.name')}, which the table was not asked for."
    differences = {cell: _differing(ours, built[cell]) for cell in near}
    cell = min(near, key=lambda cell: len(differences[cell]))
    fields = [f"{name} = {ours.get(name)}, not {built[cell].get(name)}" for name in differences[cell]]
    more = f" and {len(fields) - 4} more" if len(fields) > 4 else ""
    return f"is nearest to {cell.method}, but has {'; '.join(fields[:4])}{more}."


def _differing(ours: Tree, theirs: Tree) -> list[str]:
    return [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
