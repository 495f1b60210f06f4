"""The scripts that start runs elsewhere: their heads, what a linter finds, and what all of them refuse."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.scripts import ROOT, SLICE, path_with, run

SCRIPTS = sorted(path for path in (ROOT / "launch").iterdir() if path.suffix in (".sh", ".sbatch"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_open_with_what_they_do_and_need(path):
    lines = path.read_text().splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if number and not line.startswith("#"))]
    assert head[0] == "#!/usr/bin/env bash"
    assert any("Needs" in line for line in head)
    assert any(line.startswith("#   ") and path.name in line for line in head), "the line that uses it"
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed; the dev extra brings it")
    done = subprocess.run([shellcheck, *SCRIPTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["tpu_pod.sh", "workdir_of.sh", "local.sh"])
def test_what_runs_on_the_users_machine_knows_no_bash_after_3_2(name):  # macOS has no later one
    text = (ROOT / "launch" / name).read_text()
    later = r"@[QEPAa]\}|\[\*\]\}|\^\^?\}|,,?\}|mapfile|readarray|declare -[gnA]|local -n|\|&|&>>|wait -n|\[-1\]"
    assert not re.search(later, text)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("local.sh", ["--config=configs/digits_sa.py"], "how many processes first"),
        ("slurm.sbatch", ["--config=configs/digits_sa.py"], "name a workdir"),
        ("container.sh", ["--config=configs/digits_sa.py"], "name a workdir"),
        ("sweep.sbatch", ["table1"], "--array=0-N"),
        ("finished.sh", [], "name a workdir"),
        ("workdir_of.sh", ["--config=configs/digits_sa.py", "--workdir="], "name a workdir"),
    ],
)
def test_other_scripts_say_what_is_missing(name, args, words):
    done = run(name, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and words in done.stderr


EVALUATIONS = [
    ["--config=configs/digits_sa.py", "--mode=eval"],
    ["--config=configs/digits_sa.py", "--mode", "eval"],
    ["--config=configs/occlusion.py", "--config.runs=runs/a,runs/b"],
    ["--config=configs/calibration.py:runs=runs/a"],
    ["--config", "configs/occlusion.py:weights=a.npz,model=resnet50"],
    ["--config=my_tests.py", "--config.runs=runs"],
]


@pytest.mark.parametrize("options", EVALUATIONS, ids=" ".join)
@pytest.mark.parametrize("script", ["slurm.sbatch", "container.sh", "tpu_pod.sh all", "tpu_pod.sh resume"])
def test_what_is_no_training_is_not_started_again_for_ever(tmp_path, script, options):
    started = "echo started"
    path = path_with(tmp_path, srun=started, scontrol=started, python=started, gcloud="echo ACTIVE", git="", sleep="")
    name, *step = script.split()
    before = [*step, *SLICE, "--type=v4-8", "--tries=1", "--"] if step else []
    done = run(name, *before, *options, "--workdir=gs://my-runs/sa", PATH=path, PYTHON="python", SLURM_JOB_ID="12")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "is no training" in done.stderr and "python main.py" in done.stderr


@pytest.mark.parametrize("config", ["configs/cifar100_sa.py", "configs/less_occlusion.py", "a.py:of=occlusion.py"])
def test_a_training_is_known_for_one(config):
    done = run("workdir_of.sh", f"--config={config}", "--mode=train", "--workdir=runs/a", "--workdir=runs/eval b")
    assert (done.returncode, done.stdout, done.stderr) == (0, "runs/eval b\n", "")
