"""Rows for methods that a table of the paper lacks, in figures and in words."""

from pathlib import Path

import pytest

from softaug_jax.report import find
from softaug_jax.report.paper_table import paper_table
from tests.report.synthetic import put
from tests.report.test_paper_tables import lines_of, row_of


def test_other_methods_get_rows_of_their_own_if_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # tables are a checkout's
    put(tmp_path / "hard", "cifar10_baseline", "", 0.045)
    wide = {"augment.sigma": 0.4}
    for seed, error in enumerate((0.038, 0.042)):
        put(tmp_path / f"wide{seed}", "cifar10_sa", f"seed={seed}", error, wide, method="soft crop 0.4")
    put(tmp_path / "wide_bins", "cifar10_sa", "seed=3", 0.5, {**wide, "evals.num_bins": 7}, method="soft crop 0.4")
    put(
        tmp_path / "wide_slow",
        "cifar10_sa",
        "",
        0.05,
        {**wide, "optimizer.learning_rate": 0.01},
        method="soft crop 0.4",
    )
    put(tmp_path / "short", "cifar10_sa", "epochs=30", 0.08, wide, method="soft crop 0.4")
    put(tmp_path / "no_row", "cifar100_sa", "", 0.2, wide, method="soft crop 0.4")
    table = paper_table("table2", find([tmp_path]), ["cifar10"], ["resnet18"], others=True)
    lines = lines_of(table)
    ours = lines[500, "cifar10", "resnet18", "soft crop 0.4"]
    assert ours.figures["top1_error"] == (pytest.approx(0.04), pytest.approx(0.002)) and ours.paper is None
    assert ours.change[0] == pytest.approx(0.04 - 0.045)
    assert lines[500, "cifar10", "resnet18", "soft crop 0.4 (2)"].figures["top1_error"] == (0.05, None)
    assert [line.cell.method for line in table.blocks[30]] == ["Baseline", "SA", "RA", "SA+RA", "soft crop 0.4"]
    assert row_of(table.text(), "cifar10", "resnet18", "soft", "crop", "0.4", "30").endswith(
        "30 - 8.00 1 - - 0.280 2.00"
    )
    assert "soft crop 0.4, 500 epochs, is nearest to SA, but has augment.sigma = 0.4, not 0.3." in table.notes
    learning_rate = "augment.sigma = 0.4, not 0.3; optimizer.learning_rate = 0.01, not 0.1."
    assert f"soft crop 0.4 (2), 500 epochs, is nearest to SA, but has {learning_rate}" in table.notes
    differs = "differs from soft crop 0.4: optimizer.learning_rate = 0.01, not 0.1."
    assert f"soft crop 0.4 (2), 500 epochs, {differs}" in table.notes
    assert [stray.workdir.name for stray in table.strays] == ["no_row", "wide_bins"]
    assert not any("soft crop" in note for note in table.notes if note.startswith("Not run"))
