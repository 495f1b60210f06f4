"""Calibration of finished runs, and of ensembles of them (arXiv:2211.04625, section 4.3.4, Table 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from softaug_jax import calibration, metrics
from softaug_jax.checks import check_count
from softaug_jax.evals import Predictions, collect
from softaug_jax.evals.sums import classification_sums
from softaug_jax.evaluate.ensemble import ensemble
from softaug_jax.evaluate.networks import Group, restored
from softaug_jax.evaluate.results import Results, about_seeds
from softaug_jax.evaluate.temperature import cross_fit
from softaug_jax.report.curves import ReliabilityLine, reliability_diagram
from softaug_jax.report.statistics import mean_and_error
from softaug_jax.report.table import Column, Row, Table
from softaug_jax.train.evaluation import eval_batches
from softaug_jax.train.sharding import Shardings

AFTER = "_after_cross_fitted_temperature"
KINDS = {"ece": "ECE", "classwise_ece": "Classwise", "adaptive_ece": "Adaptive"}  # their headers
NOTES = (
    "ECE is Eq. 8, over equal, right-closed bins of the largest probability. Classwise ECE: of every class's "
    "probability, the mean over classes. Adaptive ECE: of the largest probability, over bins of equally many examples. "
    "NLL in nats; Brier from 0 to 2.",
)
TEMPERATURE_NOTES = (
    "Each half of the test set is scaled by the temperature of the smallest NLL on the other half, so no example helps "
    "to fit the temperature that it is measured with; T is the mean of the two.",
)

Figures = dict[str, Any]


class Scores(NamedTuple):
    """A row of the tables: a group's networks, or one ensemble of them."""

    label: str
    facts: tuple[str, ...]
    networks: list[Figures]


def check(config: Any) -> None:
    """Raises ValueError at the first field that can't be used."""
    if not config.num_bins:
        raise ValueError(f"config.num_bins = {config.num_bins} must name at least one number of bins.")
    for number in config.num_bins:
        check_count("config.num_bins", number, at_least=1)


def run(config: Any, groups: Sequence[Group], results: Results, shardings: Shardings) -> None:
    """Measures every network and ensemble, writes records, tables and the reliability diagram."""
    batches = eval_batches(groups[0].config, shardings)
    rows = [row for group in groups for row in _group_rows(config, group, batches, results, shardings)]
    write_tables(config, groups, rows, results)
    first = config.num_bins[0]
    lines = []
    for row in rows:
        ece, _ = mean_and_error([network[f"ece_{first}_bins"] for network in row.networks])
        bins = np.sum([[network[name] for name in metrics.BIN_NAMES] for network in row.networks], axis=0)
        lines.append(ReliabilityLine(f"{row.label}: ECE {100 * ece:.2f} %", bins, len(row.networks)))
    reliability_diagram(results.figure("reliability"), lines)
    results.done()


def _group_rows(config: Any, group: Group, batches: Any, results: Results, shardings: Shardings) -> Iterator[Scores]:
    """The row of a group, and that of its ensemble if it is asked for and the group has several networks."""
    scores, members = Scores(group.legend, group.facts, []), []
    count = len(group.sources)
    with_ensemble = config.ensemble and count > 1
    for network in restored(group, shardings):
        predictions = collect(network.predict, network.state, batches)
        figures = measure(predictions, config.num_bins, config.seed)
        scores.networks.append(figures)
        members += [predictions] if with_ensemble else []
        results.record(group, [network.source], figures)
        print(f"{network.source.path}: {_in_words(config, figures)}", flush=True)
    yield scores
    if with_ensemble:
        figures = measure(ensemble(members), config.num_bins, config.seed)
        name = f"{count}-ensemble"
        label = f"{group.label}, {name}"
        results.record(group, group.sources, figures, label)
        print(f"{label}: {_in_words(config, figures)}", flush=True)
        yield Scores(label, (group.facts[0], f"{group.facts[1]}, {name}", *group.facts[2:]), [figures])


def measure(predictions: Predictions, num_bins: Sequence[int], seed: int) -> Figures:
    """All figures of a network: as it is, and under names that say so after a cross-fitted temperature.

    Args:
      predictions: of the whole test set.
      num_bins: of every calibration error; the bins themselves are told for the first.
      seed: of the halves that temperatures are fitted on.

    Returns:
      Fractions, nats and temperatures by name, and three lists under "calibration/".
    """
    bins = _bins(predictions.probabilities, predictions.labels, num_bins[0])
    fitted = cross_fit(predictions, seed)
    scaled = _metrics(fitted.predictions, num_bins)
    return {
        **_metrics(predictions, num_bins),
        **{name: np.asarray(values).tolist() for name, values in zip(metrics.BIN_NAMES, bins, strict=True)},
        "temperatures": list(fitted.temperatures),
        "temperature": float(np.mean(fitted.temperatures)),
        "unfitted_halves": fitted.unfitted,
        **{name + AFTER: value for name, value in scaled.items() if name not in ("top1_error", "num_examples")},
    }


def _metrics(predictions: Predictions, num_bins: Sequence[int]) -> dict[str, float]:
    probabilities, labels = predictions.probabilities, predictions.labels
    sums = classification_sums(predictions.log_probabilities, labels)
    count = float(sums.examples)
    figures = {
        "top1_error": float(sums.wrong) / count,
        "nll": float(sums.nll) / count,
        "brier": float(sums.brier) / count,
        "num_examples": count,
    }
    for number in num_bins:
        for (kind, _), error in zip(KINDS.items(), _errors(probabilities, labels, number), strict=True):
            figures[f"{kind}_{number}_bins"] = float(error)
    return figures


@partial(jax.jit, static_argnames="num_bins")
def _bins(probabilities: jax.Array, labels: jax.Array, num_bins: int) -> metrics.CalibrationBins:
    return metrics.calibration_bins(probabilities, labels, num_bins=num_bins)


@partial(jax.jit, static_argnames="num_bins")
def _errors(probabilities: jax.Array, labels: jax.Array, num_bins: int) -> tuple[jax.Array, ...]:
    """In the order of KINDS."""
    return (
        metrics.expected_calibration_error(probabilities, labels, num_bins=num_bins),
        calibration.classwise_calibration_error(probabilities, labels, num_bins=num_bins),
        calibration.adaptive_calibration_error(probabilities, labels, num_bins=num_bins),
    )


def _in_words(config: Any, figures: Figures) -> str:
    ece = [f"{figures[f'ece_{number}_bins']:.2%} ({number} bins)" for number in config.num_bins]
    return f"top-1 error {figures['top1_error']:.2%}, NLL {figures['nll']:.4f}, ECE {', '.join(ece)}"


def write_tables(config: Any, groups: Sequence[Group], rows: Sequence[Scores], results: Results) -> None:
    """Writes the figures of the networks as they are, and in a table of their own those after a temperature."""
    errors = [
        (f"{kind}_{number}_bins", f"{words} %", f"({number} bins)")
        for kind, words in KINDS.items()
        for number in config.num_bins
    ]
    columns = (
        Column("top1_error", "Top-1 error %", 100, 2),
        Column("nll", "NLL", 1, 4),
        Column("brier", "Brier", 1, 4),
        *(Column(key, f"{words} {bins}", 100, 2) for key, words, bins in errors),
    )
    after = "after cross-fitted temperature"
    scaled = (
        Column("temperature", "T", 1, 3),
        Column(f"nll{AFTER}", f"NLL {after}", 1, 4),
        Column(f"brier{AFTER}", f"Brier {after}", 1, 4),
        *(Column(key + AFTER, f"{words} {after} {bins}", 100, 2) for key, words, bins in errors),
    )
    seeds = about_seeds(groups)
    results.table("table", Table(columns, _rows(rows, columns), [*NOTES, *seeds]), "Calibration")
    unfitted = [row.label for row in rows if any(network["unfitted_halves"] for network in row.networks)]
    table = Table(scaled, _rows(rows, scaled), [*TEMPERATURE_NOTES, *_about_unfitted(unfitted), *seeds])
    results.table("temperature", table, "After temperature scaling")


def _about_unfitted(labels: Sequence[str]) -> list[str]:
    """A sentence on rows of which a half has no best temperature; none if there are none."""
    about = "no temperature is best on a half of the test set, which is all right or worse than chance: T = 1 there."
    return [f"Of {', '.join(labels)}, {about}"] if labels else []


def _rows(rows: Sequence[Scores], columns: Sequence[Column]) -> list[Row]:
    figures = lambda row: {c.key: mean_and_error([network[c.key] for network in row.networks]) for c in columns}
    return [Row(row.facts, len(row.networks), figures(row)) for row in rows]
