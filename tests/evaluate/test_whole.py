"""Whole tests of finished runs, against what NumPy makes of the networks' own outputs."""

import csv
import json

import jax
import numpy as np
import pytest
from scipy.special import softmax

from configs import calibration, occlusion
from softaug_jax import evaluate
from softaug_jax.data import sources
from softaug_jax.models import weights
from softaug_jax.train import finished as restoring
from softaug_jax.train import setup, sharding
from softaug_jax.train.workdir import Workdir
from tests.report.test_figures import is_blank
from tests.train.helpers import config


def records(folder):
    return [json.loads(path.read_text()) for path in sorted((folder / "networks").iterdir())]


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def restored(finished):
    """The states of both runs, and the parts that they share."""
    parts = setup.build(config("digits_baseline", "model=resnet8,epochs=1"))
    states = [restoring.restore(Workdir(finished / f"seed{seed}"), parts, sharding.over()) for seed in (0, 1)]
    return parts, states


@pytest.fixture(scope="module")
def probabilities(restored):
    """Of both runs on the test set: [2, 360, 10]; and the labels."""
    parts, states = restored
    images, labels = sources.load("digits", "test")
    inputs = ((images / 255.0 - parts.info.mean) / parts.info.std).astype(np.float32)
    predict = jax.jit(parts.model.predict)
    logits = [np.asarray(predict(state.params, state.batch_stats, inputs), float) for state in states]
    return softmax(logits, -1), labels


def calibration_of(p, labels):
    """Top-1 error, NLL, Brier and ECE of ten bins, in NumPy."""
    right, sure = p.argmax(1) == labels, p.max(1)
    bins = np.clip(np.ceil(sure * 10).astype(int) - 1, 0, 9)
    gaps = [abs(right[bins == m].sum() - sure[bins == m].sum()) for m in range(10)]
    return {
        "top1_error": 1 - right.mean(),
        "nll": -np.log(p[np.arange(len(labels)), labels]).mean(),
        "brier": ((p - np.eye(10)[labels]) ** 2).sum(1).mean(),
        "ece_10_bins": sum(gaps) / len(labels),
    }


def test_calibration_of_two_seeds_and_their_ensemble(tmp_path, finished, probabilities):
    chosen = calibration.get_config(f"runs={finished}")
    chosen.eval_batch_size = 200  # 360 images: the second batch is padded
    evaluate.run(chosen, tmp_path)
    p, labels = probabilities
    wanted = [calibration_of(p[0], labels), calibration_of(p[1], labels), calibration_of(p.mean(0), labels)]
    found = records(tmp_path)
    assert [record.get("seed", record.get("seeds")) for record in found] == [0, 1, [0, 1]]
    for record, figures in zip(found, wanted, strict=True):
        assert {name: record["figures"][name] for name in figures} == pytest.approx(figures, rel=2e-3, abs=1e-4)
        assert record["figures"]["num_examples"] == 360 == sum(record["figures"]["calibration/bin_counts"])
        assert {"commit", "versions", "device", "command", "config", "label"} <= set(record)
        assert record["test"]["eval_batch_size"] == 200
    group, together = rows(tmp_path / "table.csv")
    assert (group["n"], together["n"], together["method"]) == ("2", "1", group["method"] + ", 2-ensemble")
    errors = [figures["top1_error"] for figures in wanted[:2]]
    assert float(group["top1_error"]) == pytest.approx(np.mean(errors))
    assert float(group["top1_error_standard_error"]) == pytest.approx(abs(errors[0] - errors[1]) / 2)
    assert not any("temperature" in name for name in group)
    scaled = rows(tmp_path / "temperature.csv")[0]
    names = ("ece_10_bins", "ece_15_bins", "classwise_ece_15_bins", "adaptive_ece_10_bins", "nll", "brier")
    assert all(f"{name}_after_cross_fitted_temperature" in scaled and name not in scaled for name in names)
    assert "ECE % after cross-fitted temperature (15 bins)" in (tmp_path / "temperature.md").read_text()
    assert not is_blank(tmp_path / "figures" / "reliability.png")


def test_occlusion_agrees_with_the_runs_own_and_with_imported_weights(tmp_path, finished, restored):
    _, (state, _) = restored
    weights.save(tmp_path / "w.npz", jax.device_get(state.params), jax.device_get(state.batch_stats))
    chosen = occlusion.get_config(f"runs={finished},weights={tmp_path / 'w.npz'},model=resnet8,dataset=digits,draws=1")
    chosen.fills, chosen.shares, chosen.examples = ("mean", "noise"), (0.0, 0.4), 3
    evaluate.run(chosen, tmp_path / "out")
    first, second, imported = records(tmp_path / "out")
    summaries = [json.loads((finished / f"seed{seed}" / "summary.json").read_text()) for seed in (0, 1)]
    name = "occlusion/top1_error@40%"
    assert first["figures"]["mean"][name] == summaries[0][name]  # by the same seed, of the run and of the test
    assert first["figures"]["noise"][name] != first["figures"]["mean"][name]
    for record, summary in zip((first, second), summaries, strict=True):
        assert record["figures"]["noise"]["occlusion/top1_error@0%"] == summary["top1_error"]
    assert imported["figures"] == first["figures"] and imported["seed"] is None
    table = rows(tmp_path / "out" / "table.csv")
    assert [(row["fill"], row["n"]) for row in table] == [
        ("mean colour", "2"), ("mean colour", "1"), ("uniform noise", "2"), ("uniform noise", "1"),
    ]  # fmt: skip
    assert float(table[0]["40%"]) == pytest.approx(np.mean([r["figures"]["mean"][name] for r in (first, second)]))
    assert not (tmp_path / "out" / "draws.csv").exists()
    for figure in ("occlusion", "occluded_examples"):
        assert not is_blank(tmp_path / "out" / "figures" / f"{figure}.png")


def test_the_spread_over_draws_stands_apart_from_that_over_seeds(tmp_path, finished):
    chosen = occlusion.get_config(f"runs={finished},draws=3")
    chosen.fills, chosen.shares, chosen.examples = ("black",), (0.0, 0.6), 0
    evaluate.run(chosen, tmp_path)
    found = [record["figures"]["black"] for record in records(tmp_path)]
    (means,), (spreads,) = rows(tmp_path / "table.csv"), rows(tmp_path / "draws.csv")
    errors = [figures["occlusion/top1_error@60%"] for figures in found]
    assert float(means["60%_standard_error"]) == pytest.approx(abs(errors[0] - errors[1]) / 2)
    draws = [figures["occlusion/top1_error_std@60%"] for figures in found]
    assert float(spreads["60%"]) == pytest.approx(np.mean(draws)) and min(draws) > 0
    assert spreads["60%_standard_error"] == "" and float(spreads["0%"]) == 0
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["occlusion.png"]
