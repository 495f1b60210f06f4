"""A signal in start-up: on the context itself, and on main.py as a scheduler would send it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softaug_jax.start_up import ends_on_sigterm
from softaug_jax.train.progress import StopRequest

ROOT = Path(__file__).parents[1]


def test_sigterm_ends_with_code_0_and_says_that_nothing_is_lost(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ends_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 0
    assert "nothing is lost" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loop_that_listens_itself_gets_it():
    with ends_on_sigterm():
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.signal is signal.SIGTERM
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)


def test_main_ends_with_code_0_before_its_first_step(tmp_path):
    command = [
        sys.executable,
        "-u",
        "main.py",
        "--config=configs/digits_sa.py:model=resnet8",
        f"--workdir={tmp_path}/run",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run").exists() and time.monotonic() < deadline:  # it is claimed before anything is compiled
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "nothing is lost" in err or "saved at step" in out
    assert not (tmp_path / "run" / "summary.json").exists()
