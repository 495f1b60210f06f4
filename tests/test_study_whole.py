"""The study with nothing faked, at a toy size."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import study
from tests.xla import flags

ROOT = Path(__file__).parents[1]


def test_planning_leaves_the_devices_to_the_runs(tmp_path):
    code = f"""
from benchmarks import study
plan = study._plan(study._parser().parse_args(["--out={tmp_path}", "--epochs=30"]), [])
study._check(plan)
plan.missing(plan.placed())
from jax._src import xla_bridge
print(xla_bridge.backends_are_initialized())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_whole_study_at_a_toy_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", flags(devices=1))
    command = [
        sys.executable,
        "-m",
        "benchmarks.study",
        "--dataset=digits",
        "--model=resnet8",
        "--epochs=1",
        "--seeds=1",
    ]
    command += [f"--out={tmp_path}", "--method=SA", "--hours=0.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1  loss" in done.stdout and "1 of 1 are recorded." in done.stdout
    (path,) = (tmp_path / "records").iterdir()
    record = json.loads(path.read_text())
    figures = {"top1_error", "nll", "ece", "examples_per_second", "occlusion/top1_error@80%"}
    assert figures | {"command", "commit", "device", "versions", "seed", "epochs", "settings"} <= set(record)
    assert f"{100 * record['top1_error']:.2f}" in done.stdout.split("main, digits, 1 epochs")[1]
    assert study.main([*command[3:], "--dry_run"]) == 0
    assert capsys.readouterr().out == "# recorded: digits/resnet8/sa/seed0\n"
