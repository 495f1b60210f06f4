"""Our runs beside the paper's numbers: which run belongs where, and every figure by other means."""

import csv
import io
import json
import shlex
import subprocess
import sys
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import pytest

from softaug_jax import sweep
from softaug_jax.checks import UsageError
from softaug_jax.report import find
from softaug_jax.report.__main__ import main
from softaug_jax.report.paper_table import paper_table
from softaug_jax.report.statistics import difference
from tests.report.synthetic import put

ROOT = Path(__file__).parents[2]
HARD, SOFT = (0.044, 0.046, 0.045), (0.036, 0.035, 0.040)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def runs(tmp_path):
    """Three seeds of each of two rows of Table 2, CIFAR-10, ResNet-18, at the paper's 500 epochs."""
    for seed in range(3):
        put(tmp_path / f"hard{seed}", "cifar10_baseline", f"seed={seed}", HARD[seed])
        put(tmp_path / f"soft{seed}", "cifar10_sa", f"seed={seed}", SOFT[seed], ece=0.01 + 0.01 * seed)
    return tmp_path


def lines_of(table):
    return {(epochs, *line.cell[:3]): line for epochs, block in table.blocks.items() for line in block}


def row_of(text, *words):
    (line,) = (line for line in text.splitlines() if line.split()[: len(words)] == list(words))
    return " ".join(line.split())


def test_means_standard_errors_and_changes(runs):
    table = paper_table("table2", find([runs]), ["cifar10"], ["resnet18"])
    points = 100 * (mean(SOFT) - mean(HARD))
    error = 100 * sqrt(stdev(SOFT) ** 2 / 3 + stdev(HARD) ** 2 / 3)
    ours = f"{100 * mean(SOFT):.2f} ± {100 * stdev(SOFT) / sqrt(3):.2f} 3"
    nll = f"{3.5 * mean(SOFT):.3f} ± {3.5 * stdev(SOFT) / sqrt(3):.3f}"  # as synthetic.py makes it
    expected = f"3.51 ± 0.08 {ours} -0.87 {points:+.2f} ± {error:.2f} {nll} 2.00 ± 0.58"
    assert row_of(table.text(), "cifar10", "resnet18", "SA", "500").endswith(expected)
    assert row_of(table.text(), "cifar10", "resnet18", "RA", "500").endswith("3.89 ± 0.06 not run 0 -0.49 - - -")
    assert list(table.blocks) == [500] and table.strays == []
    assert "± is the standard error" in table.notes[1] and "share a seed" not in table.notes[1]


def test_csv_and_markdown_hold_the_same(runs):
    table = paper_table("table2", find([runs]), ["cifar10"], ["resnet18"])
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(table.csv()))}
    assert float(rows["SA"]["top1_error"]) == pytest.approx(mean(SOFT))
    assert float(rows["SA"]["change_standard_error"]) == pytest.approx(
        sqrt(stdev(SOFT) ** 2 / 3 + stdev(HARD) ** 2 / 3)
    )
    assert (rows["SA"]["paper_top1_error"], rows["SA"]["paper_top1_error_standard_error"]) == ("0.0351", "0.0008")
    assert float(rows["SA"]["paper_change"]) == pytest.approx(-0.0087)
    assert float(rows["SA"]["ece"]) == pytest.approx(0.02)
    assert (rows["RA"]["top1_error"], rows["RA"]["n"], rows["RA"]["epochs"]) == ("", "0", "500")
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4 and len({line.count("|") for line in lines}) == 1
    assert f"| {100 * mean(SOFT):.2f} ± " in lines[3] and "| 3.51 ± 0.08 |" in lines[3]


def test_runs_made_by_hand_count_if_they_train_the_same(tmp_path):
    same = {"data.dir": "/d", "data.loader": "tfdata", "evals.num_bins": 15, "eval_batch_size": 7, "name": "mine"}
    put(tmp_path / "same", "cifar10_sa", "seed=5", fields={**same, "checkpoint_every_epochs": 1})
    put(tmp_path / "by_field", "cifar10_baseline", "seed=6", fields={"augment.policy": "randaugment"})
    put(tmp_path / "sigma", "cifar10_sa", fields={"augment.sigma": 0.25})
    put(tmp_path / "uncropped", "cifar10_sa", fields={"augment.uncropped_final_epochs": 0})
    put(tmp_path / "other", "cifar100_sa")
    put(tmp_path / "under_way", "cifar10_sa", "seed=7", finished=False)
    table = paper_table("table2", find([tmp_path]), ["cifar10"])
    placed = {key[2:]: [run.workdir.name for run in line.runs] for key, line in lines_of(table).items() if line.runs}
    assert placed == {("resnet18", "SA"): ["same"], ("resnet18", "RA"): ["by_field"]}
    strays = {stray.workdir.name: stray.why for stray in table.strays}
    assert strays == {
        "sigma": "is nearest to SA, but has augment.sigma = 0.25, not 0.3.",
        "uncropped": "is nearest to SA, but has augment.uncropped_final_epochs = 0, not 20.",
        "other": "is of cifar100 and resnet18, which the table was not asked for.",
    }


def test_runs_at_another_resolution_are_of_no_row(tmp_path):
    put(tmp_path / "usual", "imagenet_baseline", "seed=0", 0.23, {"data.threads": 3, "data.v2_dir": "/v2"})
    put(tmp_path / "small", "imagenet_baseline", "seed=1", 0.35, {"data.size_px": 96, "data.resize_px": 112})
    table = paper_table("table2", find([tmp_path]), ["imagenet"], ["resnet50"])
    line = lines_of(table)[300, "imagenet", "resnet50", "Baseline"]
    assert (line.figures["top1_error"], len(line.runs)) == ((0.23, None), 1)
    (stray,) = table.strays
    assert stray.why == "is nearest to Baseline, but has data.resize_px = 112, not 256; data.size_px = 96, not 224."


def test_a_row_is_of_runs_that_are_measured_alike(tmp_path):
    for seed in range(2):
        put(tmp_path / f"sa{seed}", "cifar10_sa", f"seed={seed}", ece=0.02, fields={"evals.knn_k": 7} if seed else {})
    put(tmp_path / "coarse", "cifar10_sa", "seed=2", ece=0.06, fields={"evals.num_bins": 2})
    table = paper_table("table2", find([tmp_path]), ["cifar10"], ["resnet18"])
    line = lines_of(table)[500, "cifar10", "resnet18", "SA"]
    assert line.figures["ece"] == (0.02, 0.0)
    (stray,) = table.strays
    assert str(stray).endswith("/coarse is measured otherwise than the runs of SA, with evals.num_bins = 2, not 10.")
    assert not any("Measured with" in note for note in table.notes)


def test_rows_that_are_all_measured_otherwise_stay_and_say_how(tmp_path):
    """As docs/results.md runs Table 4; a row that is measured as usual has no change against them."""
    features = {"evals.probe_augment": False}
    for name, fields in (("none", features), ("sa1", features), ("sa2", {})):
        rate = 0.1 if name == "sa2" else 0.2
        arg = f"dataset=cifar100,hypothesis={name},learning_rate={rate}"
        put(tmp_path / name, "simsiam", arg, {"none": 0.4, "sa1": 0.39, "sa2": 0.3}[name], fields, method=name)
    table = paper_table("table4", find([tmp_path]), ["cifar100"])
    lines = {key[3]: line for key, line in lines_of(table).items()}
    assert table.strays == [] and [len(line.runs) for line in lines.values()] == [1, 1, 1]
    assert lines["SA#1"].change == (pytest.approx(-0.01), None) and lines["SA#2"].change is None
    rows = "Baseline of resnet18 on cifar100, 800 epochs, SA#1 of resnet18 on cifar100, 800 epochs"
    assert f"Measured with evals.probe_augment = False, not True: {rows}. Change is between rows that" in table.text()


def test_a_run_without_a_top_1_error_is_named(tmp_path):
    workdir, summary = put(tmp_path / "run", "simsiam", "dataset=cifar10,learning_rate=0.2", method="SimSiam")
    del summary["top1_error"]
    (workdir / "summary.json").write_text(json.dumps(summary))
    table = paper_table("table4", find([tmp_path]), ["cifar10"])
    assert [str(stray) for stray in table.strays] == [
        f"{workdir} has no top1_error: evals.final of its config lacks it."
    ]


def test_only_the_authors_own_figures_are_said_to_be_means_of_three_runs():
    notes = {name: paper_table(name, [], ["cifar10"]).notes[0] for name in ("table2", "table3")}
    assert "The paper's figures are means of 3 runs, of 500 epochs on CIFAR." in notes["table2"]
    assert notes["table3"].endswith(
        "The paper's own figures are means of 3 runs, of 500 epochs on CIFAR; those without ± it quotes from others."
    )


def test_epochs_are_never_mixed(runs):
    put(runs / "short_hard", "cifar10_baseline", "epochs=30", 0.10)
    put(runs / "short_soft", "cifar10_sa", "", 0.09, fields={"epochs": 30})  # by an override, not by the argument
    table = paper_table("table2", find([runs]), ["cifar10"])
    assert list(table.blocks) == [30, 500] and table.strays == []
    lines = lines_of(table)
    assert lines[500, "cifar10", "resnet18", "SA"].figures["top1_error"][0] == pytest.approx(mean(SOFT))
    short = lines[30, "cifar10", "resnet18", "SA"]
    assert short.figures["top1_error"] == (0.09, None)
    assert short.change == (pytest.approx(-0.01), None)
    assert {key[2] for key in lines if key[0] == 30} == {"resnet18"}, "networks that were not run are named once"
    assert {key[2] for key in lines if key[0] == 500} > {"resnet18", "pyramidnet272"}


def test_a_network_that_the_paper_lacks_has_its_rows_where_it_was_run(tmp_path):
    put(tmp_path / "small", "cifar10_sa", "model=resnet8,epochs=2")
    table = paper_table("table2", find([tmp_path]))
    lines = lines_of(table)
    assert [line.cell.method for line in table.blocks[2]] == ["Baseline", "SA", "RA", "SA+RA"]
    assert lines[2, "cifar10", "resnet8", "SA"].paper is None
    assert lines[2, "cifar10", "resnet8", "SA"].change is None, "no baseline was run"
    assert (len(table.blocks[500]), len(table.blocks[300])) == (40, 16)
    assert list(paper_table("table2", find([tmp_path]), ["cifar10"], ["resnet18"]).blocks) == [500]


def test_table_1_and_the_extras(tmp_path):
    put(tmp_path / "focal", "cifar100_baseline", "method=focal,gamma=5", 0.21)
    put(tmp_path / "base", "cifar100_baseline", "", 0.2)
    put(tmp_path / "control", "cifar100_sa", "smoothing=0.1", 0.19)
    found = find([tmp_path])
    table = paper_table("table1", found)
    line = lines_of(table)[500, "cifar100", "resnet18", "Focal Loss (alpha = 5)"]
    assert line.paper == (0.2069, 0.0017)
    assert line.paper_change[0] == pytest.approx(0.2069 - 0.2080)
    assert line.change[0] == pytest.approx(0.01)
    assert len(table.strays) == 1 and "control is nearest to " in str(table.strays[0])
    cifar10 = paper_table("table1", [], ["cifar10"])
    assert {line.paper for line in lines_of(cifar10).values()} == {None}
    extras = lines_of(paper_table("extras", found, ["cifar100"]))
    assert extras[500, "cifar100", "resnet18", "Soft crop, Label Smoothing"].change[0] == pytest.approx(-0.01)
    assert extras[500, "cifar100", "resnet18", "SA"].paper == (0.1831, 0.0017)


@pytest.mark.parametrize(
    ("name", "datasets"), [("table1", []), ("table2", []), ("extras", []), ("table2", ["cifar10"])]
)
def test_the_commands_run_exactly_what_is_not_run(runs, name, datasets):
    put(runs / "short", "cifar10_sa", "epochs=30")
    table = paper_table(name, find([runs]), datasets)
    wanted = {key for key, line in lines_of(table).items() if line.cell.config and not line.runs}
    planned = set()
    for note in table.notes:
        if note.startswith("Not run"):
            words = shlex.split(note.split("To run: ")[1])
            assert words[:3] == ["python", "-m", "softaug_jax.sweep"]
            args = sweep._parser().parse_args(words[3:])
            for job in sweep.plan(args, []):
                planned.add((args.epochs or job.cell.build().epochs, *job.cell[:3]))
    assert planned == wanted


def test_one_run_on_imagenet_is_in_the_rows_of_both_test_sets(tmp_path):
    workdir, summary = put(tmp_path / "sa", "imagenet_sa", "", 0.21)
    put(tmp_path / "base", "imagenet_baseline", "", 0.23)
    (workdir / "summary.json").write_text(json.dumps({**summary, "v2/top1_error": 0.33, "v2/nll": 1.5}))
    table = paper_table("table2", find([tmp_path]))
    row = row_of(table.text(), "imagenet", "resnet50", "SA")
    assert row.startswith("imagenet resnet50 SA 300 21.66 ± 0.02 21.00 1 -0.96 -2.00 0.735 ")
    assert row_of(table.text(), "imagenet_v2", "resnet50", "SA").endswith("300 33.32 ± 0.10 33.00 1 -1.65 - 1.500 -")
    assert row_of(table.text(), "imagenet_v2", "resnet50", "Baseline").endswith("34.97 ± 0.03 not run 0 - - - -")
    assert table.strays == []


def test_what_was_not_measured_by_all_is_a_dash_and_shared_seeds_are_told(runs):
    summary = json.loads((runs / "soft0" / "summary.json").read_text())
    del summary["ece"]
    (runs / "soft0" / "summary.json").write_text(json.dumps(summary))
    put(runs / "again", "cifar10_sa", "seed=2")
    table = paper_table("table2", find([runs]), ["cifar10"], ["resnet18"])
    line = lines_of(table)[500, "cifar10", "resnet18", "SA"]
    assert len(line.runs) == 4 and "ece" not in line.figures and "nll" in line.figures
    assert "share a seed" in table.notes[1]


def test_a_difference_has_an_error_if_both_have():
    assert difference((2.0, 3.0), (1.5, 4.0)) == (-0.5, 5.0)
    assert difference((2.0, None), (1.5, 4.0)) == (-0.5, None)


def test_the_command_prints_and_writes_it(runs, tmp_path, capsys):
    put(runs / "stray", "cifar10_sa", fields={"augment.sigma": 0.25})
    argv = [str(runs), "--table=table2", "--dataset=cifar10", "--model=resnet18"]
    assert main([*argv, f"--out={tmp_path / 'out'}"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("table2, 500 epochs: top-1 error in %\n")
    assert "To run: python -m softaug_jax.sweep table2 --dataset=cifar10 --model=resnet18 --method=ra" in printed.out
    assert printed.err == f"{runs / 'stray'} is nearest to SA, but has augment.sigma = 0.25, not 0.3. Left out.\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["table2.csv", "table2.md"]
    assert main([*argv, "--format=csv"]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / "table2.csv").read_text()


def test_a_wrong_command_is_one_line_and_code_2(runs, monkeypatch, capsys):
    for argv, said in (
        (["--table=table5"], "Choose from table1, table2, table3, table4, barlow_twins, extras."),
        (["--table=table1", "--dataset=digits"], "Choose from cifar100, cifar10."),
        (["--others"], "--others is for --table: without it every method has its row."),
        (["--model=resnet18"], "--model=resnet18 is for --table and --page: add one"),
    ):
        assert main([str(runs), *argv]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1
    monkeypatch.chdir(runs)
    with pytest.raises(UsageError, match="is not a checkout of softaug_jax"):
        paper_table("table1", [])


def test_without_table_no_configs_are_loaded(runs):
    code = f"import sys\nfrom softaug_jax.report.__main__ import main\nmain([{str(runs)!r}])\n"
    code += "print(sorted({'configs', 'ml_collections'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_made_before_a_field_existed_keeps_its_row(tmp_path):
    workdir = put(tmp_path / "old", "cifar10_baseline")[0]
    config = json.loads((workdir / "config.json").read_text())
    del config["model"]["norm_group"]
    (workdir / "config.json").write_text(json.dumps(config))
    table = paper_table("table2", find([tmp_path]), ["cifar10"], ["resnet18"])
    assert table.strays == []
    config["model"]["norm_group"] = 16
    (workdir / "config.json").write_text(json.dumps(config))
    (stray,) = paper_table("table2", find([tmp_path]), ["cifar10"], ["resnet18"]).strays
    assert "model.norm_group = 16, not 0" in stray.why
