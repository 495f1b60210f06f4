"""The study's lists as data: for each row the config that trains it, its arguments, and fields that main.py is to set.

A row that configs/tables.py has is that row. A slug is one training in all lists, which share its run. The first row of
a list is the one that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ml_collections import ConfigDict

from configs import tables
from softaug_jax import cli

DATASETS = ("cifar10", "cifar100", "digits")


class Row(NamedTuple):
    """A method: config and arguments, and fields set besides, as in "augment.sigma=0.1"."""

    method: tables.Row
    overrides: tuple[str, ...] = ()


class Entry(NamedTuple):
    """A row on a network and a data set. Sweep, placing and report use it as they use a cell of the tables."""

    dataset: str
    model: str
    method: str
    slug: str
    config: str
    arguments: str
    paper: tables.PaperKey | None
    options: tuple[str, ...]  # of main.py: the row's overrides, then the user's
    trained_on: str = ""  # as in tables.Cell: it is tested on what it is trained on
    prefix: str = ""

    argument = tables.Cell.argument

    def build(self, epochs: int | None = None, seed: int = 0) -> ConfigDict:
        """The config that main.py has; raises UsageError if an option can't be used."""
        return cli.config_of([f"--config=configs/{self.config}.py:{self.argument(epochs, seed)}", *self.options])


_KNOWN = {row.slug: row for row in (*tables.TABLE_1, *tables.TABLE_2, *tables.EXTRAS)}
_KNOWN |= {row.slug: row for row in tables.TABLE_2}  # with the paper's numbers on both data sets


def _rows(*slugs: str) -> tuple[Row, ...]:
    return tuple(Row(_KNOWN[slug]) for slug in slugs)


def _soft(name: str, slug: str, *overrides: str, arguments: str = "") -> Row:
    return Row(tables.Row(name, slug, "sa", arguments), overrides)


# What the paper's comparison rests on and the controls it lacks, the most telling first.
_MAIN = (
    *_rows("baseline", "sa", "sa_target", "label_smoothing", "soft_crop", "ra", "sa_ra", "sa_ta", "sa_weight"),
    *_rows("hard16", "soft_crop_label_smoothing"),
    _soft("SA, mean(weight) * mean(loss)", "sa_batch_mean", "loss.weighting=batch_mean"),
)

_SIGMAS, _KS = (0.1, 0.2, 0.3, 0.4, 0.5), (1, 2, 3, 4)
_MODES = {"target_and_weight": "SA", "target": "SA, target only", "weight": "SA, weight only"}
_MODES |= {"none": "Soft crop, hard targets"}
_AT_DEFAULT = {"target_and_weight": "sa", "target": "sa_target", "weight": "sa_weight", "none": "soft_crop"}


def _crop(mode: str, sigma: float, k: int = 2) -> Row:
    """The soft crop at a sigma and k; at the defaults it is the tables' row."""
    if (sigma, k) == (0.3, 2):
        return Row(_KNOWN[_AT_DEFAULT[mode]])
    name, slug = f"{_MODES[mode]}, sigma {sigma:g}", f"{_AT_DEFAULT[mode]}_sigma{sigma:g}"
    if mode == "target_and_weight":
        name, slug = f"{name}, k {k}", f"{slug}_k{k}"
    overrides = (f"augment.sigma={sigma:g}", f"soften.k={k}.0")
    return _soft(name, slug, *overrides, arguments="" if mode == "target_and_weight" else f"mode={mode}")


def _smoothing(alpha: float) -> Row:
    if alpha == 0.1:
        return Row(_KNOWN["label_smoothing"])
    row = tables.Row(f"Label Smoothing {alpha:g}", f"label_smoothing{alpha:g}", "baseline", f"smoothing={alpha:g}")
    return Row(row)


# The paper's Figure 3: crop strength, curve, and what is softened; label smoothing beside them.
_FIGURE_3 = (
    *_rows("baseline"),
    *(_crop("target_and_weight", sigma, k) for k in (2, 1, 3, 4) for sigma in _SIGMAS),
    *(_crop(mode, sigma) for mode in ("target", "weight", "none") for sigma in _SIGMAS),
    *(_smoothing(alpha) for alpha in (0.05, 0.1, 0.2, 0.3)),
)

# Where the paper is silent and the authors' code, or another reading, does it differently: each against SA as it is.
# The first has its controls with it: the same crop with hard targets, and with constant smoothing.
_TO_THE_END = "augment.uncropped_final_epochs=0"
_QUESTIONS = (
    *_rows("sa"),
    _soft("SA, cropped to the end", "sa_cropped_to_the_end", _TO_THE_END),
    _soft("Hard targets, cropped to the end", "soft_crop_cropped_to_the_end", _TO_THE_END, arguments="mode=none"),
    _soft("Smoothing, cropped to the end", "smoothing_cropped_to_the_end", _TO_THE_END, arguments="smoothing=0.1"),
    _soft("SA, sigma 0.375", "sa_sigma0.375_k2", "augment.sigma=0.375"),
    _soft("SA, black outside", "sa_black", "augment.fill=black"),
    _soft("SA, noise outside", "sa_fill_noise", "augment.fill_noise=0.01"),
    _soft("SA, nearest pixel", "sa_nearest", "augment.rounding=nearest"),
    _soft("SA, normalised weights", "sa_normalized", "loss.normalize_weights=true"),
)

# By list: the rows of each of its networks. A network that it lacks has the rows of the first.
LISTS: dict[str, dict[str, tuple[Row, ...]]] = {
    "main": {"resnet18": _MAIN, "wideresnet28_10": _rows("baseline", "sa", "sa_ta")},
    "figure3": {"resnet18": _FIGURE_3},
    "questions": {"resnet18": _QUESTIONS},
}


def entries(
    name: str, dataset: str, model: str | None = None, methods: Collection[str] = (), extra: Collection[str] = ()
) -> list[Entry]:
    """The entries of a list, network by network, in its order.

    Args:
      name: "main", "figure3" or "questions".
      dataset: one of DATASETS.
      model: the network; None: the list's own, one after another.
      methods: those wanted, by name or slug; none: all.
      extra: further options of main.py, as in "--config.data.dir=DIR".

    Raises:
      ValueError: if a method is unknown.
    """
    by_model = LISTS[name]
    first = next(iter(by_model.values()))
    chosen = by_model if model is None else {model: by_model.get(model, first)}
    known = tables.pick(name, tuple(row.method for row in first), methods)
    return [_entry(row, dataset, m, extra) for m, rows in chosen.items() for row in rows if row.method in known]


def _entry(row: Row, dataset: str, model: str, extra: Collection[str]) -> Entry:
    cell = tables.cell(row.method, dataset, model)
    options = (*(f"--config.{override}" for override in row.overrides), *extra)
    return Entry(*cell[:6], cell.paper, options)
