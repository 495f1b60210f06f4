"""Top-1 error under occlusion of finished runs (arXiv:2211.04625, section 4.3.3, Figs. 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from softaug_jax.checks import check_choice, check_count
from softaug_jax.data.info import DatasetInfo
from softaug_jax.evals import NOISE, Batch, Occlusion
from softaug_jax.evals.occlusion import check_shares
from softaug_jax.evaluate.examples import Examples
from softaug_jax.evaluate.networks import Group, Restored, restored
from softaug_jax.evaluate.results import Results, about_seeds
from softaug_jax.report.curves import OcclusionLine, occlusion_lines
from softaug_jax.report.statistics import Figure, mean_and_error
from softaug_jax.report.table import Column, Row, Table
from softaug_jax.train.evaluation import eval_batches
from softaug_jax.train.sharding import Shardings

FILLS = {"mean": "mean colour", "black": "black", NOISE: "uniform noise"}
ERROR, SPREAD = "occlusion/top1_error@", "occlusion/top1_error_std@"
_FACTS = ("Config", "Method", "Data", "Model", "Fill", "Epochs")

Measured = dict[str, dict[str, float]]  # figures by fill


def check(config: Any) -> None:
    """Raises ValueError at the first field that can't be used."""
    for field, number in (("shares", config.shares), ("fills", config.fills)):
        if not number:
            raise ValueError(f"config.{field} = {number} must name at least one.")
    check_shares("config.shares", config.shares)
    for fill in config.fills:
        check_choice("config.fills", fill, FILLS)
    check_count("config.draws", config.draws, at_least=1)
    check_count("config.examples", config.examples, at_least=0)


def run(config: Any, groups: Sequence[Group], results: Results, shardings: Shardings) -> None:
    """Measures every network, writes records, tables and figures."""
    about = groups[0].about
    batches = eval_batches(groups[0].config, shardings)
    examples = Examples(next(iter(batches)), config.examples, config.shares, about)
    measured: list[list[Measured]] = []
    for group in groups:
        measured.append([])
        for network in restored(group, shardings):
            evaluators = {fill: evaluator(config, network, batches, fill, about) for fill in config.fills}
            figures: Measured = {fill: dict(e.run(network.state)) for fill, e in evaluators.items()}  # type: ignore
            if not measured[-1]:
                examples.ask(group.label, network, evaluators[config.fills[0]])
            measured[-1].append(figures)
            results.record(group, [network.source], figures)
            print(f"{network.source.path}: {_in_words(config, figures)}", flush=True)
    write_tables(config, groups, measured, results)
    draw_lines(config, groups, measured, results)
    examples.draw(results.figure("occluded_examples"))
    results.done()


def evaluator(config: Any, network: Restored, batches: Iterable[Batch], fill: str, about: DatasetInfo) -> Occlusion:
    """The evaluator of a network under one fill: the same squares for every network."""
    colours: dict[str, Any] = {
        "mean": np.asarray([255.0 * mean for mean in about.mean], np.float32),
        "black": np.zeros(about.channels, np.float32),
        NOISE: NOISE,
    }
    options = {"shares": config.shares, "draws": config.draws, "seed": config.seed}
    return Occlusion(network.predict, batches, fill=colours[fill], **options)


def _in_words(config: Any, figures: Measured) -> str:
    fill = config.fills[0]
    errors = [f"{figures[fill][f'{ERROR}{share:.0%}']:.2%} at {share:.0%}" for share in config.shares]
    return f"top-1 error, {FILLS[fill]}: {', '.join(errors)}"


def over_seeds(networks: Sequence[Measured], fill: str, prefix: str) -> dict[str, Figure]:
    """Mean and standard error over a group's networks of the figures under one fill, by the occluded share."""
    names = [name for name in networks[0][fill] if name.startswith(prefix)]
    return {name.removeprefix(prefix): mean_and_error([network[fill][name] for network in networks]) for name in names}


def write_tables(
    config: Any, groups: Sequence[Group], measured: Sequence[Sequence[Measured]], results: Results
) -> None:
    """Writes the errors, and apart from them how much they differ from draw to draw."""
    levels = [f"{share:.0%}" for share in config.shares]
    places = f"{config.draws} random places" if config.draws > 1 else "one random place"
    note = f"Each image with the square at {places}, the same for every network."
    columns = tuple(Column(level, f"{level} hidden", 100, 2) for level in levels)
    table = Table(columns, _rows(config, groups, measured, ERROR), [note, *about_seeds(groups)], _FACTS)
    results.table("table", table, "Top-1 error (%) by the occluded share of the image")
    if config.draws > 1:
        rows = [
            row._replace(figures={level: (mean, None) for level, (mean, _) in row.figures.items()})
            for row in _rows(config, groups, measured, SPREAD)
        ]
        note = f"Standard deviation over {config.draws} draws of the squares' places; over networks, its mean."
        title = "Standard deviation of the top-1 error over draws, in percentage points"
        results.table("draws", Table(columns, rows, [note], _FACTS), title)


def _rows(config: Any, groups: Sequence[Group], measured: Sequence[Sequence[Measured]], prefix: str) -> list[Row]:
    return [
        Row((*group.facts[:-1], FILLS[fill], group.facts[-1]), len(networks), over_seeds(networks, fill, prefix))
        for fill in config.fills
        for group, networks in zip(groups, measured, strict=True)
    ]


def draw_lines(config: Any, groups: Sequence[Group], measured: Sequence[Sequence[Measured]], results: Results) -> None:
    """Draws the error against the occluded share, a panel a fill and a line a group."""
    share_of = {f"{share:.0%}": share for share in config.shares}
    panels = {}
    for fill in config.fills:
        lines = []
        for group, networks in zip(groups, measured, strict=True):
            errors = {share_of[level]: figure for level, figure in over_seeds(networks, fill, ERROR).items()}
            spreads = {share_of[level]: mean for level, (mean, _) in over_seeds(networks, fill, SPREAD).items()}
            lines.append(OcclusionLine(group.legend, dict(sorted(errors.items())), spreads))
        panels[FILLS[fill].capitalize()] = lines
    occlusion_lines(results.figure("occlusion"), panels)
