"""The benchmark commands run from end to end at a toy size. Nothing here looks at a time."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks import soak
from softaug_jax.train import setup
from softaug_jax.train.checkpoint import Checkpoints
from tests.data.made_images import make_folders
from tests.report.synthetic import make_run
from tests.train.helpers import config

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_input_pipeline_measures_each_and_writes_its_record(tmp_path):
    out = tmp_path / "record.json"
    done = run("-m", "benchmarks.input_pipeline", "--images=512", "--rounds=1", "--seconds=0.05", f"--json={out}")
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert set(record["images_per_second"]) == {"host", "host+pixels", record["peer"]}
    for name, ratio in record["ratio_to_per_image"].items():
        (ours,), (peer,) = record["images_per_second"][name], record["images_per_second"][record["peer"]]
        assert ratio == ours / peer
        assert f"{ratio:.1f} x" in done.stdout
    assert {"command", "date", "commit", "versions", "machine"} <= set(record)


@pytest.mark.slow
def test_image_pipeline_measures_each_and_writes_its_record(tmp_path):
    out = tmp_path / "record.json"
    made = make_folders(tmp_path / "set", train=128, test=4)
    done = run(
        "-m", "benchmarks.image_pipeline", f"--folder={made / 'train'}", "--rounds=1", "--batches=1", f"--json={out}"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert {"hard", "soft", "evaluation"} <= set(record["images_per_second"])
    assert all(rate > 0 for rates in record["images_per_second"].values() for rate in rates)
    for name, ratio in record["ratio"].items():
        peer = "torchvision evaluation" if name == "evaluation" else "torchvision"
        assert ratio["median"] == record["images_per_second"][name][0] / record["images_per_second"][peer][0]
    assert {"command", "date", "commit", "versions", "machine"} <= set(record)


def test_record_copies_a_finished_run_and_refuses_another(tmp_path):
    finished, summary = make_run(tmp_path / "finished")
    summary |= {"epochs": 20, "device": "cpu"}
    (finished / "summary.json").write_text(json.dumps(summary))
    unfinished, _ = make_run(tmp_path / "unfinished", finished=False)
    done = run("-m", "benchmarks.record", finished, f"--out={tmp_path}/results")
    assert done.returncode == 0, done.stderr
    record = json.loads(Path(done.stdout.strip()).read_text())
    assert summary.items() <= record.items()
    other, _ = make_run(tmp_path / "other", changes={"epochs": 20, "batch_size": 128})
    (other / "summary.json").write_text(json.dumps(summary))
    clash = run("-m", "benchmarks.record", other, f"--out={tmp_path}/results")
    assert clash.returncode == 2
    assert "other settings" in clash.stderr and "--label=NAME" in clash.stderr
    assert run("-m", "benchmarks.record", other, f"--out={tmp_path}/results", "--label=other").returncode == 0
    refused = run("-m", "benchmarks.record", unfinished, f"--out={tmp_path}/results")
    assert refused.returncode == 2
    assert "is not finished" in refused.stderr


@pytest.mark.slow
def test_soak_kills_a_training_twice_and_finds_its_end_the_same(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    assert soak.main(["--kills=2", f"--out={out}", "--", "--config=configs/digits_sa.py:epochs=1"]) == 0
    record = json.loads(out.read_text())
    assert record["kills"] == len(record["seconds_until_killed"]) == 2
    assert record["trainings"] == len(record["compared"]) >= 1
    assert all(each["arrays"] > 20 and each["rows"] == 2 for each in record["compared"])
    assert record["arrays_that_differ"] == record["rows_that_differ"] == 0
    assert record["lines_on_stderr"] == []
    assert str(tmp_path) not in out.read_text()


def test_soak_takes_what_gloo_says_for_no_sign_of_training(tmp_path):
    trainings = soak.Trainings(tmp_path, [], processes=2)
    (tmp_path / "out0.txt").write_text("[Gloo] Rank 0 is connected to 1 peer ranks.\n")
    assert trainings._read("out0.txt") == []
    (tmp_path / "out0.txt").write_text("[Gloo] Rank 0 is connected to 1 peer ranks.\ndigits_sa: soft crop\n")
    assert trainings._read("out0.txt") == ["digits_sa: soft crop"]


@pytest.mark.slow
def test_soak_notices_a_training_that_ends_otherwise(tmp_path):
    for name, seed in (("one", 0), ("other", 1)):
        save_untrained(tmp_path / name, seed)
    options = ["--config=configs/digits_sa.py:epochs=1"]
    found = soak.differences(options, tmp_path / "one", tmp_path / "other")
    assert 0 < found["arrays_that_differ"] < found["arrays"] and found["rows_that_differ"] == 1
    assert soak.differences(options, tmp_path / "one", tmp_path / "one")["arrays_that_differ"] == 0


def save_untrained(workdir, seed):
    """A checkpoint of the initial state, and one row of metrics."""
    parts = setup.build(config(arg=f"epochs=1,seed={seed}"))
    checkpoints = Checkpoints(workdir)
    checkpoints.save(jax.jit(parts.initial_state)(), 0, {})
    checkpoints.close()
    row = {"split": "train", "step": 1, "loss": 0.5 + seed, "examples_per_second": seed}
    (workdir / "metrics.jsonl").write_text(json.dumps(row) + "\n")
