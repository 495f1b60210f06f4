"""Figures of self-supervised runs, and of those beside runs with labels."""

import json

import numpy as np
import pytest

from softaug_jax import report
from softaug_jax.report import pair_curves
from tests.report.synthetic import make_run
from tests.report.test_figures import is_blank
from tests.train.helpers import config


def make_pairs(workdir, hypothesis="sa1", seed=0):
    """A finished run of SimSiam on digits, as training leaves it."""
    chosen = config("simsiam", f"dataset=digits,model=resnet8,epochs=3,hypothesis={hypothesis},seed={seed}").to_dict()
    make_run(workdir, changes={**chosen, "augment": {"crop": "soft"}}, seed=seed, method=f"SimSiam, {hypothesis}")
    rows = []
    for epoch in range(1, 4):
        row = {"step": 20 * epoch, "epoch": float(epoch)}
        rows.append({**row, "split": "train", "loss": -0.1 * epoch, "output_std": 0.02, "iou": 0.5, "weight": 0.9})
        rows.append({**row, "split": "test", "knn_top1_error": 0.5 / epoch})
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir


def names(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize("hypothesis", ["none", "sa1", "sa2", "own"])
def test_a_run_s_figures(tmp_path, hypothesis):
    written = report.write_run_figures(make_pairs(tmp_path / "run", hypothesis))
    assert names(written)[0] == "self_supervised_curves.png"
    assert ("pair_weights.png" in names(written)) == (hypothesis in ("sa1", "sa2"))
    assert "learning_curves.png" not in names(written)
    assert not any(is_blank(path) for path in written)


def test_curves_show_what_was_logged(tmp_path, drawn):
    run = report.read(make_pairs(tmp_path / "run"))
    axes = drawn(pair_curves, pair_curves.self_supervised_curves, tmp_path / "figure.png", [run])
    errors, losses, spreads = ([line.get_xydata() for line in each.get_lines()] for each in axes)
    np.testing.assert_allclose(errors[0], [[1, 50], [2, 25], [3, 50 / 3]])
    np.testing.assert_allclose(losses[0], [[1, -0.1], [2, -0.2], [3, -0.3]])
    np.testing.assert_allclose(spreads[0][:, 1], 0.02)
    np.testing.assert_allclose(spreads[1][:, 1], 1 / np.sqrt(2048))


def test_runs_with_and_without_labels_are_drawn_apart(tmp_path):
    paths = [make_pairs(tmp_path / f"pairs{seed}", seed=seed) for seed in range(2)]
    paths.append(make_run(tmp_path / "classes")[0])
    written = report.write_comparison_figures(tmp_path / "figures", report.find(paths))
    assert {"learning_curves.png", "self_supervised_curves.png"} <= set(names(written))


def test_without_history_there_is_no_figure(tmp_path):
    workdir = make_pairs(tmp_path / "run")
    (workdir / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match="No run has logged anything"):
        pair_curves.self_supervised_curves(tmp_path / "figure.png", [report.read(workdir)])
