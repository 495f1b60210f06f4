"""The table's numbers, recomputed by hand."""

import csv
import io
import math

import numpy as np
import pytest

from softaug_jax.report import comparison, read
from softaug_jax.report.compare import noise_limit
from tests.report.synthetic import SOFT, make_run


def runs_of(tmp_path, *settings):
    return [read(make_run(tmp_path / str(i), **kwargs)[0]) for i, kwargs in enumerate(settings)]


def test_seeds_are_one_row_with_mean_and_standard_error(tmp_path):
    errors = (0.050, 0.056, 0.062)
    runs = runs_of(tmp_path, *({"seed": s, "top1_error": e} for s, e in enumerate(errors)))
    table = comparison(runs)
    (row,) = table.rows
    assert row.n == 3
    assert row.figures["top1_error"][0] == pytest.approx(0.056)
    assert row.figures["top1_error"][1] == pytest.approx(0.006 / math.sqrt(3))  # squares 36, 0, 36 over n - 1 = 2
    assert "5.60 ± 0.35" in table.text()
    assert "share a seed" not in table.text()


def test_a_figure_that_one_of_the_seeds_lacks_is_left_out(tmp_path):
    runs = runs_of(tmp_path, {"seed": 0}, {"seed": 1}, {"seed": 2})
    runs[1].summary["examples_per_second"] = None  # it went on from its last checkpoint, with no step to do
    table = comparison(runs)
    assert "nan" not in table.text() and "top1_error" in table.rows[0].figures


def test_one_run_has_no_standard_error(tmp_path):
    text = comparison(runs_of(tmp_path, {"top1_error": 0.05, "ece": 0.0123})).text()
    assert "±" not in text
    row = " ".join(text.splitlines()[2].split())
    assert row == "digits_baseline hard crop digits resnet18 20 1 5.00 0.175 1.23 20.00 35.00 50.00 65.00 1000"


def test_two_methods_one_seed_each(tmp_path):
    hard, soft = {"top1_error": 0.05, "ece": 0.04}, {"changes": SOFT, "top1_error": 0.04, "ece": 0.015}
    note = comparison(runs_of(tmp_path, hard, soft)).notes[-1]
    assert note.startswith("soft crop, target_and_weight - hard crop: top-1 error -1.00 points, NLL -0.035, ECE -2.50")
    assert "error with 80% hidden -13.00 points" in note
    assert "augment.crop (hard -> soft), soften.mode (none -> target_and_weight)" in note
    limit = 100 * 1.96 * math.sqrt((0.05 * 0.95 + 0.04 * 0.96) / 360)
    assert f"One seed each: top-1 differences under about {limit:.2f} points are within noise" in note
    assert note.endswith("this one is within noise.")


def test_settings_of_the_second_alone_are_in_its_order(tmp_path):
    fields = {f"field_{letter}": number for number, letter in enumerate("qahzcm")}
    note = comparison(runs_of(tmp_path, {}, {"changes": fields})).notes[-1]
    assert ", ".join(f"{name} (None -> {value})" for name, value in fields.items()) in note


def test_two_methods_three_seeds_each(tmp_path):
    hard = [{"seed": s, "top1_error": 0.05 + 0.001 * s} for s in range(3)]
    soft = [{"seed": s, "top1_error": 0.03 + 0.002 * s, "changes": SOFT} for s in range(3)]
    note = comparison(runs_of(tmp_path, *hard, *soft)).notes[-1]
    error = math.sqrt(0.1**2 / 3 + 0.2**2 / 3)
    assert f"top-1 error -1.90 ± {error:.2f} points" in note
    assert f"under about {2.776 * error:.2f} points are within noise (at 95 % over 3 and 3 seeds)" in note
    assert note.endswith("this one is larger than that.")


def test_the_limit_is_student_s_for_unequal_numbers_of_seeds(tmp_path):
    from scipy.stats import ttest_ind

    errors = [(0.050, 0.051), (0.049, 0.055, 0.047, 0.058, 0.052)]
    groups = [
        runs_of(tmp_path / str(n), *({"seed": s, "top1_error": e} for s, e in enumerate(each)))
        for n, each in enumerate(errors)
    ]
    limit = noise_limit(*groups)
    shifted = [error + np.mean(errors[0]) - np.mean(errors[1]) + limit for error in errors[1]]
    assert ttest_ind(errors[0], shifted).pvalue == pytest.approx(0.05)


def test_seeds_that_do_not_differ_do_not_make_every_change_real(tmp_path):
    hard = [{"seed": s, "top1_error": 0.05} for s in range(2)]
    soft = [{"seed": s, "top1_error": 0.0528, "changes": SOFT} for s in range(2)]
    note = comparison(runs_of(tmp_path, *hard, *soft)).notes[-1]
    limit = 100 * 1.96 * math.sqrt((0.05 * 0.95 + 0.0528 * 0.9472) / 360)
    assert f"No seed differs from another: top-1 differences under about {limit:.2f} points are within noise" in note
    assert note.endswith("this one is within noise.")


def test_runs_without_a_top_1_error_are_compared_in_what_they_have(tmp_path):
    runs = runs_of(tmp_path, {}, {"changes": SOFT})
    for run in runs:
        for key in ("top1_error", "nll", "ece"):
            del run.summary[key]
    note = comparison(runs).notes[-1]
    assert "top-1" not in note and "error with 80% hidden" in note
    for run in runs:
        for key in [key for key in run.summary if key.startswith("occlusion")]:
            del run.summary[key]
    assert "hard crop: no figure that all of them have. They differ in" in comparison(runs).notes[-1]


def test_what_can_t_be_compared_says_so(tmp_path):
    other_data = {"changes": {**SOFT, "dataset": "cifar10"}, "num_test": 10_000}
    table = comparison(runs_of(tmp_path, {}, other_data, {"seed": 0}))
    assert table.notes[-1].endswith("not compared, they were tested on different data.")
    assert "share a seed" in table.notes[0]


def test_a_figure_that_was_not_measured_is_a_dash(tmp_path):
    runs = runs_of(tmp_path, {}, {"changes": SOFT})
    for key in [key for key in runs[1].summary if key.startswith("occlusion") or key == "ece"]:
        del runs[1].summary[key]
    table = comparison(runs)
    assert table.text().splitlines()[3].split()[-6:-1] == ["-"] * 5
    assert "ECE" not in table.notes[-1]
    assert "hidden" not in table.notes[-1]


def test_csv_and_markdown_hold_the_same_numbers(tmp_path):
    soft = [{"seed": s, "changes": SOFT, "top1_error": 0.03 + 0.01 * s, "method": "soft | all"} for s in (0, 1)]
    table = comparison(runs_of(tmp_path, {}, *soft))
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [(row["method"], row["n"]) for row in rows] == [("hard crop", "1"), ("soft | all", "2")]
    assert float(rows[1]["top1_error"]) == pytest.approx(0.035)
    assert float(rows[1]["top1_error_standard_error"]) == pytest.approx(0.005)
    assert rows[0]["top1_error_standard_error"] == ""
    lines = table.markdown().splitlines()
    assert "soft \\| all" in lines[3]
    assert "3.50 ± 0.50" in lines[3]
    assert len({line.replace("\\|", "").count("|") for line in lines[:4]}) == 1


def test_unfinished_runs_are_left_out(tmp_path):
    runs = runs_of(tmp_path, {}, {"seed": 1, "finished": False})
    assert comparison(runs).rows[0].n == 1
    with pytest.raises(ValueError, match="No run is finished"):
        comparison(runs[1:])
