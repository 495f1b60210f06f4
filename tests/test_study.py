"""The study: its lists, its budget of time against a child that trains nothing, its table, and all of it on digits."""

import csv
import io
import json
import os
import signal
from pathlib import Path

import pytest

from benchmarks import study, study_lists, study_runner
from softaug_jax import cli

ROOT = Path(__file__).parents[1]
TWO = ["--dataset=digits", "--model=resnet8", "--method=baseline", "--method=sa", "--epochs=60"]
SUMMARY = {"num_test": 360, "num_devices": 1, "commit": None, "method": "made up", "nll": 0.2, "ece": 0.01}
SUMMARY |= {f"occlusion/top1_error@{share}%": 0.1 + share / 100 for share in (0, 20, 40, 60, 80)}
MINUTES = {"resnet8": 25.0, "resnet20": 5.0}


class FakeChild:
    """Stands for main.py: it takes MINUTES of a network, on a clock of its own, and leaves what main.py leaves."""

    def __init__(self):
        self.now, self.started, self.signal, self.timed_out = 0.0, [], None, False
        self.codes, self.device, self.interrupt = {}, "fake", None

    def __enter__(self):
        self.signal = None
        return self

    def __exit__(self, *_):
        pass

    def run(self, command, seconds):
        words = dict(word.split("=", 1) for word in command[2:])
        workdir, config = Path(words["--workdir"]), cli.config_of([w for w in command[2:] if w.startswith("--config")])
        name = "/".join(workdir.parts[-3:])
        self.started.append((name, round(seconds / 60)))
        if code := self.codes.get(name):
            return code
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "config.json").write_text(json.dumps(config.to_dict()))
        rows = workdir / "metrics.jsonl"
        done = json.loads(rows.read_text())["epoch"] if rows.exists() else 0.0
        total = 60 * MINUTES[config.model.name]
        left = total * (1 - done / config.epochs)
        self.signal = self.interrupt
        self.timed_out = left > seconds + 1e-6
        self.now += min(left, seconds)
        done += config.epochs * min(left, seconds) / total
        rows.write_text(json.dumps({"split": "train", "step": int(done), "epoch": done}))
        if not self.timed_out and not self.interrupt:
            write_summary(workdir / "summary.json", config, total, device=self.device)
        return 0


def summary_of(config, seconds, top1_error=None, **more):
    error = (0.05 if config.augment.crop == "hard" else 0.04) + config.seed / 1000
    what = {"config": config.name, "dataset": config.dataset, "model": config.model.name, "seed": config.seed}
    what |= {"epochs": config.epochs, "wall_seconds": seconds, "top1_error": top1_error or error}
    return SUMMARY | what | {"examples_per_second": 1000.0, "device": "fake"} | more


def write_summary(path, config, seconds, **more):
    path.write_text(json.dumps(summary_of(config, seconds, **more)))


def write_record(folder, entry, seed=0, epochs=60, **more):
    config = entry.build(epochs, seed)
    folder.mkdir(parents=True, exist_ok=True)
    content = summary_of(config, 60.0, **more) | {"settings": config.to_dict()}
    (folder / f"{entry.slug}-{entry.model}-{seed}.json").write_text(json.dumps(content))


@pytest.fixture
def child(tmp_path, monkeypatch):
    """The fake in place of the real one, in a checkout of its own; the study's clock is its clock."""
    fake = FakeChild()
    (tmp_path / "main.py").touch()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_runner, "Child", lambda: fake)
    monkeypatch.setattr(study_runner, "clock", lambda: fake.now)
    monkeypatch.setattr(study_runner, "device", lambda: ("fake", 1))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")  # so that what the study sets is undone
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    return fake


def names(child):
    started, child.started = [name for name, _ in child.started], []
    return started


def test_the_main_list_is_in_the_order_of_what_it_tells(child, capsys):
    assert study.main(["--dry_run", "--seeds=2", "--out=out", "--", "--config.data.dir=a b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    small = "baseline sa sa_target label_smoothing soft_crop ra sa_ra sa_ta sa_weight hard16".split()
    small += ["soft_crop_label_smoothing", "sa_batch_mean"]
    order = [f"resnet18/{slug}/seed{seed}" for seed in (0, 1) for slug in small]
    order += [f"wideresnet28_10/{slug}/seed{seed}" for seed in (0, 1) for slug in ("baseline", "sa", "sa_ta")]
    assert [line.split("--workdir=out/runs/cifar10/")[1].split()[0] for line in lines] == order
    assert all(line.endswith("'--config.data.dir=a b'") for line in lines)
    assert "--config.loss.weighting=batch_mean" in lines[11]
    assert "cifar10_sa.py:model=resnet18,smoothing=0.1,epochs=500,seed=0" in lines[10]
    assert not Path("out").exists()


def test_a_run_that_would_not_end_in_the_time_left_is_not_started(child, capsys):
    argv = [*TWO, "--seeds=2", "--hours=1", "--out=out"]
    assert study.main(argv) == 0
    assert child.started == [("resnet8/baseline/seed0", 60), ("resnet8/sa/seed0", 35)]
    out = capsys.readouterr().out
    assert "main: 4 runs, 0 recorded, 4 to do; 1 h 00 min on 1 x fake." in out
    assert "[1/4] digits/resnet8/baseline/seed0, time not known yet; 1 h 00 min left" in out
    assert "[2/4] digits/resnet8/sa/seed0, takes about 25 min; 35 min left" in out
    assert "2 of 4 are recorded; the next takes about 25 min; the rest is for another call. To go on: python -m" in out
    assert "resnet8  SA        1      -           4.00" in out  # the table, at the end of every call
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(Path("out/cache").resolve())
    child.started = []
    assert study.main(argv) == 0
    assert names(child) == ["resnet8/baseline/seed1", "resnet8/sa/seed1"]
    assert "4 of 4 are recorded." in capsys.readouterr().out
    assert study.main([*argv, "--dry_run"]) == 0
    assert capsys.readouterr().out.count("# recorded: digits/resnet8/") == 4
    assert study.main(argv) == 0 and names(child) == []


def test_a_published_record_that_has_no_times_is_no_measure_of_them(child, capsys):
    (entry,) = study_lists.entries("main", "digits", "resnet8", ["baseline"])
    write_record(Path("brought"), entry)
    (path,) = Path("brought").iterdir()
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "wall_seconds"}))
    assert study.main([*TWO, "--seeds=1", "--hours=1", "--out=out", "--records=brought"]) == 0
    assert "[2/2] digits/resnet8/sa/seed0, time not known yet" in capsys.readouterr().out


def test_what_is_stopped_when_the_time_is_up_goes_on_with_what_is_left(child, capsys):
    argv = [*TWO, "--seeds=1", "--out=out"]
    assert study.main([*argv, "--hours=0.25"]) == 0
    assert child.started == [("resnet8/baseline/seed0", 15)]
    assert "The time is up: digits/resnet8/baseline/seed0 was stopped" in capsys.readouterr().out
    assert not list(Path("out").glob("records/*"))
    assert study.main([*argv, "--hours=0.5"]) == 0  # ten minutes to its end; then twenty are too few for the next
    assert names(child)[1:] == ["resnet8/baseline/seed0"]
    assert study.main([*argv, "--hours=0.4"]) == 0 and names(child) == []
    Path("out/runs/digits/resnet8/sa/seed0").mkdir(parents=True)
    Path("out/runs/digits/resnet8/sa/seed0/metrics.jsonl").write_text('{"split": "train", "step": 1, "epoch": 48.0}')
    assert study.main([*argv, "--hours=0.1"]) == 0 and names(child) == ["resnet8/sa/seed0"]  # five minutes left of it


def test_each_record_says_what_it_is(child):
    assert study.main([*TWO, "--seeds=1", "--hours=1", "--out=out", "--commit=abc"]) == 0
    paths = sorted(Path("out/records").iterdir())
    assert [path.name for path in paths] == [
        f"digits_{slug}-resnet8-60ep-seed0-fake.json" for slug in ("baseline", "sa")
    ]
    record = json.loads(paths[1].read_text())
    assert record["study"] == {"row": "SA", "process_seconds": 1500.0} and record["commit"] == "abc"
    assert record["settings"]["eval_every_epochs"] == record["settings"]["checkpoint_every_epochs"] == 6
    assert SUMMARY.items() - {"commit": None}.items() <= record.items()


def test_a_run_whose_record_was_not_written_is_recorded_and_not_run(child):
    argv = [*TWO, "--seeds=1", "--hours=1", "--out=out"]
    assert study.main(argv) == 0
    (record,) = Path("out/records").glob("digits_sa*")
    record.unlink()
    child.started = []
    assert study.main(argv) == 0
    assert child.started == [] and json.loads(record.read_text())["study"] == {"row": "SA"}


def test_records_from_elsewhere_count_but_another_device_tells_no_time(child, capsys):
    entry = study_lists.entries("main", "digits", "resnet8")[0]
    write_record(Path("brought"), entry, device="another")
    write_record(Path("brought"), entry._replace(options=("--config.batch_size=32",)), seed=1)
    Path("brought/other.json").write_text('{"images_per_second": 1}')
    assert study.main([*TWO, "--seeds=2", "--hours=2", "--out=out", "--records=brought"]) == 0
    assert names(child) == ["resnet8/sa/seed0", "resnet8/baseline/seed1", "resnet8/sa/seed1"]
    printed = capsys.readouterr()
    assert "[2/4] digits/resnet8/sa/seed0, time not known yet" in printed.out
    assert "is nearest to Baseline, but has batch_size = 32, not 64. Left out." in printed.err


def test_another_network_is_started_where_one_does_not_fit(child):
    for model in ("resnet8", "resnet20"):
        write_record(Path("out/records"), study_lists.entries("main", "digits", model)[0])
    for path in Path("out/records").glob("*resnet8*"):
        path.write_text(path.read_text().replace('"wall_seconds": 60.0', '"wall_seconds": 6000.0'))
    assert study.main([*TWO, "--seeds=1", "--hours=1", "--out=out"]) == 0 and names(child) == []
    argv = [word.replace("resnet8", "resnet20") for word in TWO]
    assert study.main([*argv, "--seeds=1", "--hours=1", "--out=out"]) == 0 and names(child) == ["resnet20/sa/seed0"]


def test_failures_are_named_a_refusal_and_a_signal_end_the_call(child, capsys):
    argv = [*TWO, "--seeds=1", "--hours=1", "--out=out"]
    child.codes = {"resnet8/baseline/seed0": 1}
    assert study.main(argv) == 1
    assert names(child) == ["resnet8/baseline/seed0", "resnet8/sa/seed0"]
    assert "1 of 2 failed: digits/resnet8/baseline/seed0 (exit code 1)" in capsys.readouterr().err
    child.codes = {"resnet8/baseline/seed0": 2}
    assert study.main([*argv, "--out=other"]) == 2
    assert names(child) == ["resnet8/baseline/seed0"]
    assert "main.py refused digits/resnet8/baseline/seed0 for the reason above" in capsys.readouterr().err
    child.codes, child.interrupt = {}, signal.SIGTERM
    assert study.main([*argv, "--out=third"]) == 128 + signal.SIGTERM
    assert names(child) == ["resnet8/baseline/seed0"]
    assert "stopped by SIGTERM; 0 of 2 are recorded. To go on: python -m benchmarks.study" in capsys.readouterr().out


def test_the_table_and_the_figure_are_of_what_is_recorded(child, capsys):
    for entry in study_lists.entries("figure3", "cifar10"):
        for seed in range(0 if entry.slug == "sa_sigma0.5_k4" else 2):
            write_record(Path("out/records"), entry, seed, epochs=100, num_test=10000)
    assert study.main(["--table", "--list=figure3", "--out=out", "--format=csv"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "Wrote out/figure3-cifar10-resnet18-100ep.png.\n"
    assert Path("out/figure3-cifar10-resnet18-100ep.png").stat().st_size > 10000
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(printed.out))}
    assert float(rows["SA"]["change"]) == pytest.approx(-0.01)
    assert float(rows["SA"]["noise_95"]) == pytest.approx(4.303 * (2 * 0.0005**2) ** 0.5, rel=1e-3)
    assert (rows["SA"]["n"], rows["SA"]["paper_top1_error"], rows["SA, sigma 0.5, k 4"]["n"]) == ("2", "0.0351", "0")
    assert study.main(["--table", "--out=out", "--format=markdown", "--model=resnet18"]) == 0
    out = capsys.readouterr().out
    assert "| resnet18 | RA | 0 | 3.89 ± 0.06 | not run | - |" in out
    assert (
        "| resnet18 | SA | 2 | 3.51 ± 0.08 | 4.05 ± 0.05 | -1.00 ± 0.07 | 0.30 | 0.200 ± 0.000 | 1.00 ± 0.00 |" in out
    )
    assert "The paper's are means of 3 runs of 500 epochs" in out
    assert child.started == []


def test_few_images_of_each_class_are_a_table_of_their_own(child, capsys):
    few = ["--", "--config.data.images_per_class=20", "--config.batch_size=64"]
    for extra, error in ((few[1:], 0.3), (few[2:], 0.1)):  # a run on all images is no run of this table
        for entry in study_lists.entries("main", "digits", "resnet8", ["baseline"], extra=extra):
            write_record(Path("brought", *extra[:1]), entry, top1_error=error)
    folders = [f"--records={path.parent}" for path in Path("brought").rglob("*.json")]
    assert len(folders) == 2
    assert study.main([*TWO, "--table", "--seeds=1", "--format=csv", *folders, *few]) == 0
    printed = capsys.readouterr()
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(printed.out))}
    assert (rows["Baseline"]["n"], rows["Baseline"]["top1_error"], rows["SA"]["n"]) == ("1", "0.3", "0")
    left_out = "Of resnet8 on digits 1 are trained on {}: -- --config.data.images_per_class={} shows them. Left out.\n"
    assert printed.err == left_out.format("all images", 0)
    assert study.main([*TWO, "--table", "--seeds=1", *folders]) == 0
    assert left_out.format("20 images of each class", 20) in capsys.readouterr().err
    assert study.main(["--table", *folders, *few]) == 0  # cifar10, of which nothing is recorded
    printed = capsys.readouterr().out
    assert "main, cifar10 (20 training images of each class), 500 epochs" in printed
    assert "4.38" not in printed  # the paper's, which trains on all
    assert study.main([*TWO, "--hours=1", "--seeds=1", "--out=out", *few]) == 0
    assert sorted(path.name for path in Path("out/records").iterdir()) == [
        f"digits_{slug}-20perclass-resnet8-60ep-seed0-fake.json" for slug in ("baseline", "sa")
    ]


def test_rows_that_a_short_schedule_makes_the_same_are_run_once(child, capsys):
    assert study.main(["--list=questions", "--dataset=digits", "--epochs=10", "--dry_run", "--seeds=1"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "SA, cropped to the end trains the same as SA at 10 epochs: left out.\n"
    assert len(printed.out.splitlines()) == 8


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--hours is missing: how long it may run, as in --hours=0.5"),
        (["--hours=0"], "'0' must be a number of hours above 0, as in 0.5"),
        (["--hours=x"], "'x' must be a number of hours above 0, as in 0.5"),
        (["--list=table1"], "invalid choice: 'table1'"),
        (["--table", "--seed=1"], "'--seed=1' is not understood; options of main.py come after --"),
        (["--table", "--method=XY"], "--method=XY is not in main. Choose from: Baseline; SA;"),
        (["--table", "--records=nowhere"], "--records=nowhere is not a folder."),
        (["--hours=1", "--model=resnet9"], "config.model.name = 'resnet9' is unknown."),
        (["--table", "--", "--config.augment.sgma=1"], 'Did you mean "sigma" instead of "sgma"?'),
        (["--table", "--", "--workdir=x"], "'--workdir=x' after -- can't be set"),
        (["--table", "--", "--config.epochs=3"], "'--config.epochs=3' after -- can't be set: it is --epochs."),
        (
            ["--table", "--list=figure3", "--", "--config.soften.k=3"],
            "can't be set: rows of --list=figure3 differ in it.",
        ),
    ],
)
def test_a_wrong_command_is_one_line_and_code_2(child, capsys, argv, said):
    try:
        code = study.main(argv)
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and len(error.splitlines()) == 1
    assert child.started == []


def test_a_workdir_of_another_config_is_refused_before_anything_runs(child, capsys):
    assert study.main([*TWO, "--seeds=1", "--hours=1", "--out=out"]) == 0
    child.started = []
    assert study.main([*TWO, "--epochs=30", "--seeds=1", "--hours=1", "--out=out"]) == 2
    error = capsys.readouterr().err
    assert "was made with another config" in error and "epochs: 60 there, 30 now" in error
    assert child.started == []
