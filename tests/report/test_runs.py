"""Reading workdirs, whole and damaged."""

import json

import pytest

from softaug_jax.checks import UsageError
from softaug_jax.report import find, read
from softaug_jax.report.runs import group, labels
from tests.report.synthetic import SOFT, make_run, put


def test_a_finished_run(tmp_path):
    workdir, summary = make_run(tmp_path / "run", seed=3)
    run = read(workdir)
    assert run.summary == summary
    assert run.results == summary
    assert run.config["seed"] == 3
    assert len(run.rows("train")) == len(run.rows("test")) == 20
    assert run.occlusion() == {s / 100: summary[f"occlusion/top1_error@{s}%"] for s in (0, 20, 40, 60, 80)}
    assert run.bins().sum(1)[0] == 360


def test_a_run_that_goes_on_shows_its_last_evaluation(tmp_path):
    workdir, summary = make_run(tmp_path / "run", finished=False)
    run = read(workdir)
    assert run.summary is None
    assert run.label == "digits_baseline"
    assert run.results["top1_error"] == summary["top1_error"]
    assert len(run.occlusion()) == 5
    (workdir / "metrics.jsonl").unlink()
    run = read(workdir)
    assert (run.history, run.results, run.occlusion(), run.bins()) == ([], {}, {}, None)


def test_of_a_repeated_step_the_last_row_counts_and_a_cut_line_does_not(tmp_path):
    workdir, _ = make_run(tmp_path / "run")
    row = lambda step, split, error: json.dumps({"step": step, "split": split, "epoch": 1.0, "top1_error": error})
    rows = [row(1, "train", 0.9), row(2, "train", 0.8), row(2, "test", 0.7), row(1, "train", 0.5), row(3, "train", 0.4)]
    (workdir / "metrics.jsonl").write_text("\n".join([*rows, row(4, "train", 0.3)[:-9]]))
    run = read(workdir)
    assert [(r["step"], r["top1_error"]) for r in run.rows("train")] == [(1, 0.5), (2, 0.8), (3, 0.4)]
    assert [(r["step"], r["top1_error"]) for r in run.rows("test")] == [(2, 0.7)]


def test_damage_is_named(tmp_path):
    workdir, _ = make_run(tmp_path / "run")
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    (workdir / "metrics.jsonl").write_text("\n".join([lines[0], lines[1][:9], *lines[2:]]))
    with pytest.raises(UsageError, match=r"metrics\.jsonl, line 2"):
        read(workdir)
    (workdir / "config.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match=r"config\.json does not hold"):
        read(workdir)
    (workdir / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json can't be read"):
        read(workdir)
    with pytest.raises(UsageError, match="no config.json"):
        read(tmp_path)


def test_runs_are_found_in_folders_once_each(tmp_path):
    for name in ("b/seed0", "b/seed1", "a"):
        make_run(tmp_path / name)
    found = find([tmp_path / "b", tmp_path, tmp_path / "b" / "seed0"])
    assert [str(run.workdir.relative_to(tmp_path)) for run in found] == ["b/seed0", "b/seed1", "a"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no run"):
        find([tmp_path / "empty"])
    with pytest.raises(UsageError, match="not a folder"):
        find([tmp_path / "nowhere"])


def test_only_the_seed_makes_no_new_group(tmp_path):
    make = lambda name, **kwargs: read(make_run(tmp_path / name, **kwargs)[0])
    elsewhere = {"dir": "elsewhere", "download": False, "threads": 8, "v2_dir": "elsewhere"}
    hard = [make("hard0"), make("hard1", seed=1, changes={"data": elsewhere})]
    soft, longer = make("soft", changes=SOFT), make("longer", changes={**SOFT, "epochs": 40})
    groups = group([hard[0], soft, hard[1], longer])
    assert groups == [hard, [soft], [longer]]
    assert labels(groups[:1]) == ["hard crop"]
    assert labels(groups[:2]) == ["hard crop", "soft crop, target_and_weight"]
    assert labels(groups[1:]) == ["20 epochs", "40 epochs"]
    twin = make("twin", changes={"batch_size": 32})
    assert labels([hard, [twin]]) == ["hard crop (hard0)", "hard crop (twin)"]


def test_groups_that_are_alike_in_all_else_have_the_end_of_a_path_that_differs(tmp_path):
    for decay in ("5e-4", "1e-3"):
        for seed in range(2):
            put(tmp_path / decay / f"seed{seed}", arg=f"seed={seed}", fields={"optimizer.weight_decay": float(decay)})
    groups = group(find([tmp_path]))
    assert labels(groups) == ["hard crop (1e-3/seed0)", "hard crop (5e-4/seed0)"]
    assert labels([groups[0], groups[0]])[0].endswith("1e-3/seed0)")  # even if nothing tells them apart


def test_labels_say_how_much_data_of_what_size_and_behind_which_squares(tmp_path):
    def label_beside(usual, config, **fields):
        changed = {name.replace("__", "."): value for name, value in fields.items()}
        return labels([[usual], [read(put(tmp_path / "-".join(fields), config, fields=changed)[0])]])

    usual = read(put(tmp_path / "usual")[0])
    few = label_beside(usual, "cifar10_baseline", data__images_per_class=100, evals__occlusion_fill="black")
    assert few == ["hard crop", "hard crop, 100 images of each class, black squares"]
    imagenet = read(put(tmp_path / "imagenet", "imagenet_baseline")[0])
    small = label_beside(imagenet, "imagenet_baseline", data__size_px=96, data__resize_px=112)
    assert small == ["random resized crop, 224 px of 256", "random resized crop, 96 px of 112"]
