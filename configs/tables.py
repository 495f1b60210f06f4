"""Tables 1 to 4 of the paper (arXiv:2211.04625), row by row: which config trains a row, and the key of its number.

python -m softaug_jax.sweep table2 --dataset=cifar10 --model=resnet18             # trains what is missing
python -m softaug_jax.report --table=table2 --dataset=cifar10 --model=resnet18 runs/tables
table1: ResNet-18 on CIFAR-100, eight methods; also --dataset=cifar10, for which the paper has no numbers.
table2: Baseline, SA, RA and SA+RA for five networks on CIFAR-10 and CIFAR-100, and for two on ImageNet, V2 included.
table3: WideResNet-28-10 on CIFAR-100 and CIFAR-10, error and calibration: the other methods, SA+TA, and SA+TA+SNGP.
table4: SimSiam with equal weights, SA#1 and SA#2 on CIFAR-100 and CIFAR-10, at the learning rates of the paper.
barlow_twins: the same three weightings of Barlow Twins, which the paper names and does not test.
extras: what tables 1 and 2 lack: the aggressive hard crop, softening in parts, constant smoothing, other methods.
The numbers themselves are in softaug_jax/report/paper.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import NamedTuple

from ml_collections import ConfigDict


class PaperKey(NamedTuple):
    """Where the paper has a number, spelt as there."""

    table: int
    dataset: str
    model: str
    method: str


class Cell(NamedTuple):
    """One row of a table: a method on a network and a data set."""

    dataset: str
    model: str
    method: str  # the paper's name; ours where it has none
    slug: str  # the method's name in paths; the same in every table
    config: str | None  # of configs/; None: nothing here trains it, for the reason given
    arguments: str  # of the config, without model, epochs and seed
    paper: PaperKey | None  # None: the paper has no such number
    reason: str = ""
    trained_on: str = ""  # the data set whose training images it sees, if not `dataset`
    prefix: str = ""  # of the figures' names in summaries

    def argument(self, epochs: int | None = None, seed: int = 0) -> str:
        """What follows the colon of --config=configs/FILE.py:...; no epochs: the config's own."""
        parts = [f"model={self.model}", self.arguments, f"epochs={epochs}" if epochs else "", f"seed={seed}"]
        return ",".join(filter(None, parts))

    def build(self, epochs: int | None = None, seed: int = 0) -> ConfigDict:
        """The config that trains it."""
        return importlib.import_module(f"configs.{self.config}").get_config(self.argument(epochs, seed))


class Row(NamedTuple):
    """A method of a table."""

    name: str
    slug: str
    kind: str  # "baseline" (hard crop) or "sa" (soft crop): the data set's config; else a config with dataset=
    arguments: str = ""
    table: int | None = None  # of the paper's number
    lacks: tuple[str, ...] = ()  # data sets of the table for which the paper has no number in this row
    made_from: str = ""  # what the row is made from, where no single training gives it


class Table(NamedTuple):
    """The methods of a table, and the networks it has on each data set."""

    rows: tuple[Row, ...]
    models: dict[str, tuple[str, ...]]  # by data set
    default_datasets: tuple[str, ...]


_PAPER_DATASETS = {
    "cifar100": "Cifar-100",
    "cifar10": "Cifar-10",
    "imagenet": "ImageNet-1K",
    "imagenet_v2": "ImageNet-V2",
}
_PAPER_MODELS = {
    "efficientnet_b0": "EfficientNet-B0",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "wideresnet28_10": "WideResNet-28",
    "pyramidnet272": "PyramidNet + ShakeDrop",
}
_CIFAR_MODELS = ("efficientnet_b0", "resnet18", "resnet50", "wideresnet28_10", "pyramidnet272")
_IMAGENET_MODELS = ("resnet50", "resnet101")

# Data sets that are a test only: the one that is trained on, and the prefix of their figures.
TEST_SETS = {"imagenet_v2": ("imagenet", "v2/")}

# On which data sets and networks each table of the paper has its numbers.
_PAPER_HAS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"cifar100": ("resnet18",)},
    2: dict(cifar100=_CIFAR_MODELS, cifar10=_CIFAR_MODELS, imagenet=_IMAGENET_MODELS, imagenet_v2=_IMAGENET_MODELS),
    3: dict(cifar100=("wideresnet28_10",), cifar10=("wideresnet28_10",)),
    4: dict(cifar100=("resnet18",), cifar10=("resnet18",)),
}

TABLE_1 = (
    Row("Baseline", "baseline", "baseline", table=1),
    Row("Mixup", "mixup", "baseline", "method=mixup", table=1),
    Row("Cutout", "cutout", "baseline", "method=cutout", table=1),
    Row("Label Smoothing", "label_smoothing", "baseline", "smoothing=0.1", table=1),
    Row("Online Label Smoothing", "online_label_smoothing", "baseline", "method=online_label_smoothing", table=1),
    Row("Focal Loss (alpha = 1)", "focal1", "baseline", "method=focal,gamma=1", table=1),
    Row("Focal Loss (alpha = 2)", "focal2", "baseline", "method=focal,gamma=2", table=1),
    Row("Focal Loss (alpha = 5)", "focal5", "baseline", "method=focal,gamma=5", table=1),
    Row("RandAugment", "ra", "baseline", "policy=randaugment", table=1),
    Row("Soft Augmentation", "sa", "sa", table=1),
)
TABLE_2 = (
    Row("Baseline", "baseline", "baseline", table=2),
    Row("SA", "sa", "sa", table=2),
    Row("RA", "ra", "baseline", "policy=randaugment", table=2),
    Row("SA+RA", "sa_ra", "sa", "policy=randaugment", table=2),
)
TABLE_3 = (
    Row("Baseline", "baseline", "baseline", table=3),
    Row("Energy-based", "energy", "baseline", "method=energy", table=3),
    Row("DUQ", "duq", "baseline", "method=duq", table=3, lacks=("cifar100",)),
    Row("SNGP", "sngp", "baseline", "method=sngp", table=3),
    Row("DDU", "ddu", "baseline", "method=ddu", table=3),
    Row("5-Ensemble", "ensemble5", "baseline", table=3, made_from="five finished Baselines: configs/calibration.py"),
    Row("SA+TA", "sa_ta", "sa", "policy=trivialaugment", table=3),
    Row("SA+TA+SNGP", "sa_ta_sngp", "sa", "policy=trivialaugment,method=sngp"),
)
# The learning rates are those that the paper found best; it has no SA#2 on CIFAR-10.
TABLE_4 = (
    Row("Baseline", "simsiam", "simsiam", "learning_rate=0.2", table=4),
    Row("SA#1", "simsiam_sa1", "simsiam", "hypothesis=sa1,learning_rate=0.2", table=4),
    Row("SA#2", "simsiam_sa2", "simsiam", "hypothesis=sa2,learning_rate=0.1", table=4, lacks=("cifar10",)),
)
BARLOW_TWINS = (
    Row("Baseline", "barlow_twins", "barlow_twins"),
    Row("SA#1", "barlow_twins_sa1", "barlow_twins", "hypothesis=sa1"),
    Row("SA#2", "barlow_twins_sa2", "barlow_twins", "hypothesis=sa2"),
)
# Baseline and SA lead, to compare with; a sweep shares their runs with the other tables.
EXTRAS = (
    Row("Baseline", "baseline", "baseline", table=2),
    Row("SA", "sa", "sa", table=2),
    Row("Hard crop 16 px", "hard16", "baseline", "pad_px=16"),
    Row("SA, target only", "sa_target", "sa", "mode=target"),
    Row("SA, weight only", "sa_weight", "sa", "mode=weight"),
    Row("Soft crop, hard targets", "soft_crop", "sa", "mode=none"),
    Row("Soft crop, Label Smoothing", "soft_crop_label_smoothing", "sa", "smoothing=0.1"),
    Row("TA", "ta", "baseline", "policy=trivialaugment"),
    Row("SA+TA", "sa_ta", "sa", "policy=trivialaugment", table=3),
    Row("CutMix", "cutmix", "baseline", "method=cutmix"),
    Row("SA+CutMix", "sa_cutmix", "sa", "method=cutmix"),
    Row("Random Erasing", "random_erasing", "baseline", "method=random_erasing"),
    Row("Soft Random Erasing", "soft_random_erasing", "baseline", "method=soft_random_erasing"),
)

_RESNET_18: dict[str, tuple[str, ...]] = {"cifar100": ("resnet18",), "cifar10": ("resnet18",)}
TABLES: dict[str, Table] = {
    "table1": Table(TABLE_1, _RESNET_18, ("cifar100",)),
    "table2": Table(TABLE_2, _PAPER_HAS[2], ("cifar100", "cifar10", "imagenet", "imagenet_v2")),
    "table3": Table(TABLE_3, _PAPER_HAS[3], ("cifar100", "cifar10")),
    "table4": Table(TABLE_4, _RESNET_18, ("cifar100", "cifar10")),
    "barlow_twins": Table(BARLOW_TWINS, _RESNET_18, ("cifar100", "cifar10")),
    "extras": Table(EXTRAS, _RESNET_18, ("cifar100", "cifar10")),
}


def cells(
    table: str, datasets: Collection[str] = (), models: Collection[str] = (), methods: Collection[str] = ()
) -> list[Cell]:
    """The cells of a table, data set by data set and network by network.

    Args:
      table: a key of TABLES.
      datasets: those wanted; none: the paper's.
      models: those wanted; none: the table's. One that the table lacks has the same rows.
      methods: those wanted, by name or slug, case aside; none: all.

    Raises:
      ValueError: if the table, a data set or a method is unknown.
    """
    chosen = TABLES.get(table)
    if chosen is None:
        raise ValueError(f"table {table!r} is unknown. Choose from {', '.join(TABLES)}.")
    for dataset in datasets:
        if dataset not in chosen.models:
            raise ValueError(f"--dataset={dataset} is not in {table}. Choose from {', '.join(chosen.models)}.")
    rows = pick(table, chosen.rows, methods)
    return [
        cell(row, dataset, model)
        for dataset in datasets or chosen.default_datasets
        for model in models or chosen.models[dataset]
        for row in rows
    ]


def pick(table: str, rows: tuple[Row, ...], methods: Collection[str]) -> tuple[Row, ...]:
    """Those of a table's rows that are wanted, by name or slug, case aside; none wanted: all.

    Raises:
      ValueError: if a name is unknown.
    """
    named = {name.lower(): row for row in rows for name in (row.name, row.slug)}
    for method in methods:
        if method.lower() not in named:
            known = "; ".join(row.name if row.name.lower() == row.slug else f"{row.name} or {row.slug}" for row in rows)
            raise ValueError(f"--method={method} is not in {table}. Choose from: {known}.")
    wanted = {named[method.lower()] for method in methods}
    return tuple(row for row in rows if not methods or row in wanted)


def cell(row: Row, dataset: str, model: str) -> Cell:
    """The row on a network and a data set, with the key of the paper's number where it has one."""
    key = None
    if row.table is not None and dataset not in row.lacks and model in _PAPER_HAS[row.table].get(dataset, ()):
        name = _PAPER_MODELS[model]
        key = PaperKey(row.table, _PAPER_DATASETS[dataset], f"SimSiam {name}" if row.table == 4 else name, row.name)
    trained_on, prefix = TEST_SETS.get(dataset, ("", ""))
    config, arguments = f"{trained_on or dataset}_{row.kind}", row.arguments
    reason = f"{row.name} is made from {row.made_from}" if row.made_from else ""
    if row.kind not in ("baseline", "sa"):
        config, arguments = row.kind, ",".join(filter(None, [f"dataset={dataset}", arguments]))
    trainer = None if reason else config
    return Cell(dataset, model, row.name, row.slug, trainer, arguments, key, reason, trained_on, prefix)
