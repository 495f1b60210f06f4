"""Figure 3 from finished runs: which runs are in it, and its numbers by hand."""

import sys
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType

import numpy as np
import pytest

from softaug_jax.report import find, page_figures, reductions
from softaug_jax.report.document import Picture
from softaug_jax.report.reductions import Panels, Point
from softaug_jax.report.sweeps import sweeps
from tests.report.synthetic import put
from tests.report.test_figures import bars_of

HARD = (0.050, 0.054)
SOFT = {(0.1, 1.0): 0.045, (0.3, 2.0): 0.040, (0.5, 2.0): 0.047}


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.fixture
def runs(tmp_path):
    """Two seeds of the hard crop, three soft crops with target and weight, one with the target alone, and smoothing."""
    for seed, error in enumerate(HARD):
        put(tmp_path / f"hard{seed}", "cifar10_baseline", f"seed={seed}", error)
    for (sigma, k), error in SOFT.items():
        put(tmp_path / f"soft{sigma}", "cifar10_sa", "", error, {"augment.sigma": sigma, "soften.k": k})
    put(tmp_path / "target", "cifar10_sa", "mode=target", 0.043)
    put(tmp_path / "target3", "cifar10_sa", "mode=target", 0.044, {"soften.k": 3.0})
    put(tmp_path / "none", "cifar10_sa", "mode=none", 0.049, {"soften.k": 4.0})
    put(tmp_path / "smooth", "cifar10_baseline", "smoothing=0.2", 0.046)
    return tmp_path


def at(points, line):
    return {round(point.at, 6): point.reduction for point in points if point.line == line}


def test_reductions_are_the_baselines_error_less_the_soft_crops_in_points(runs):
    (sweep,) = sweeps(find([runs]))
    assert (sweep.dataset, sweep.model, sweep.epochs, len(sweep.baseline)) == ("cifar10", "resnet18", 500, 2)
    curves, modes, smoothing = sweep.panels()
    base = mean(HARD)
    assert at(curves, 2.0)[0.3][0] == pytest.approx(100 * (base - 0.040))
    assert at(curves, 2.0).keys() == {0.3, 0.5} and at(curves, 1.0).keys() == {0.1}
    assert at(modes, "target")[0.3][0] == pytest.approx(100 * (base - 0.043))
    assert at(modes, ("target", 3.0))[0.3][0] == pytest.approx(100 * (base - 0.044))
    assert at(modes, "none")[0.3][0] == pytest.approx(100 * (base - 0.049))
    assert at(modes, "target_and_weight").keys() == {0.3, 0.5}
    assert at(smoothing, "smoothing") == {0.2: (pytest.approx(100 * (base - 0.046)), None)}


def test_seeds_are_one_point_with_a_standard_error(runs):
    put(runs / "again", "cifar10_sa", "seed=1", 0.042)
    (sweep,) = sweeps(find([runs]))
    (point,) = [point for point in sweep.panels().curves if point.at == 0.3]
    error = 100 * sqrt(stdev(HARD) ** 2 / 2 + stdev((0.040, 0.042)) ** 2 / 2)
    assert point == Point(2.0, 0.3, (pytest.approx(100 * (mean(HARD) - 0.041)), pytest.approx(error)))


def test_runs_that_differ_in_anything_else_are_of_other_figures(runs):
    put(runs / "ra", "cifar10_sa", "policy=randaugment", 0.030)
    put(runs / "p_min", "cifar10_sa", "", 0.030, {"soften.p_min": 0.5})
    put(runs / "constant", "cifar10_sa", "smoothing=0.1", 0.030)
    put(runs / "other_epochs", "cifar10_sa", "epochs=100", 0.030)
    put(runs / "hard16", "cifar10_baseline", "pad_px=16", 0.030)
    (sweep,) = sweeps(find([runs]))
    names = {run.workdir.name for seeds in (sweep.baseline, *sweep.soft, *sweep.smoothed) for run in seeds}
    assert names == {"hard0", "hard1", "soft0.1", "soft0.3", "soft0.5", "target", "target3", "none", "smooth"}


def test_each_baseline_has_a_figure_and_no_crop_is_none(runs):
    put(runs / "a_nocrop", "cifar10_baseline", "", 0.12, {"augment.crop": "none"}, method="no crop")
    put(runs / "hard2", "cifar10_baseline", "seed=2", 0.052, {"evals.num_bins": 15})  # trained as the other two
    put(runs / "mean0", "cifar10_baseline", "", 0.06, {"augment.fill": "mean"})
    put(runs / "smooth1", "cifar10_baseline", "smoothing=0.2,seed=1", 0.048, {"evals.num_bins": 15})
    first, second = sweeps(find([runs]))
    assert [[run.workdir.name for run in sweep.baseline] for sweep in (first, second)] == [
        ["hard0", "hard1", "hard2"],
        ["mean0"],
    ]
    assert [[run.workdir.name for run in members] for members in first.smoothed] == [["smooth", "smooth1"]]
    assert second.smoothed == [] and second.soft == first.soft
    section = page_figures.error_reduction(runs / "figures", find([runs]))
    about = [part.caption.partition("against ")[2] for part in section.parts if isinstance(part, Picture)]
    bars = "; bars are standard errors over seeds."
    assert about == [f"hard crop (hard0) (n = 3){bars}", f"hard crop (mean0) (n = 1){bars}"]


def test_there_is_no_figure_without_a_baseline_or_of_one_soft_crop(runs):
    found = find([runs])
    assert sweeps([run for run in found if "hard" not in run.workdir.name]) == []
    assert sweeps([run for run in found if run.workdir.name in ("hard0", "soft0.3")]) == []
    assert len(sweeps([run for run in found if run.workdir.name in ("hard0", "soft0.3", "soft0.1")])) == 1


def test_every_point_is_drawn_in_a_line_of_its_name(runs, tmp_path, drawn, monkeypatch):
    put(runs / "k", "cifar10_sa", "", 0.041, {"soften.k": 1.5, "augment.sigma": 0.7})
    for number, module in enumerate(("mine", "theirs")):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        own = {"soften.mode": "cosine", "imports": module}
        put(runs / module, "cifar10_sa", "", 0.042 + 0.001 * number, own)
    (sweep,) = sweeps(find([runs]))
    shown = [{}, {}, {}]
    for axes, lines in zip(drawn(reductions, reductions.draw, tmp_path / "f.png", sweep.panels()), shown, strict=True):
        for line in axes.containers:
            at, reduction = line.lines[0].get_data()
            assert axes.get_xlim()[0] < min(at) and max(at) < axes.get_xlim()[1]
            lines[line.get_label()] = dict(zip(at, [round(value, 6) for value in reduction], strict=True))
    assert shown[0] == {"$k$ = 1": {0.1: 0.7}, "$k$ = 1.5": {0.7: 1.1}, "$k$ = 2": {0.3: 1.2, 0.5: 0.5}}
    assert shown[1] == {
        "target and weight": {0.3: 1.2, 0.5: 0.5},
        "target only": {0.3: 0.9},
        "target only, $k$ = 3": {0.3: 0.8},
        "none: hard targets": {0.3: 0.3},
        "cosine of mine": {0.3: 1.0},
        "cosine of theirs": {0.3: 0.9},
    }
    assert {label: list(line.values()) for label, line in shown[2].items()} == {"label smoothing": [0.6]}


def test_a_point_of_one_seed_has_no_bar_beside_one_of_several(tmp_path, drawn):
    points = [Point(2.0, 0.1, (1.0, 0.25)), Point(2.0, 0.3, (2.0, None))]
    axes, *_ = drawn(reductions, reductions.draw, tmp_path / "f.png", Panels(points, [], []))
    (line,) = axes.containers
    np.testing.assert_allclose(bars_of(line), [0.25])
