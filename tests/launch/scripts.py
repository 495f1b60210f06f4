"""Runs the scripts of launch/, with programs of a few lines in place of what they call."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SLICE = ["--name=sa", "--zone=us-central2-b"]
TRAIN = [
    "--",
    "--config=configs/cifar100_sa.py:policy=randaugment",
    "--config.data.dir=a b",
    "--workdir=gs://my-runs/sa",
]


def run(name: str, *args: str, **environment: str) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")} | environment
    return subprocess.run([ROOT / "launch" / name, *args], capture_output=True, text=True, env=env, cwd=ROOT)


def path_with(folder: Path, **programs: str) -> str:
    """A PATH on which these programs, each a few lines of shell, come first."""
    for name, body in programs.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
