"""A signal in start-up: on the context itself, and on main.py as a scheduler would send it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softaug_jax import start_up
from softaug_jax.start_up import ends_on_sigterm
from softaug_jax.train.progress import StopRequest

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.usefixtures("stays")


def test_sigterm_ends_with_code_0_and_says_that_nothing_is_lost(capfd):
    before, told = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(SystemExit) as ended, ends_on_sigterm(leave=told.append):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == told[0].code == 0
    assert "nothing is lost" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_ends_what_would_swallow_an_exception():
    code = """
import gc, os, signal
from softaug_jax.start_up import ends_on_sigterm
with ends_on_sigterm():
    gc.callbacks.append(lambda *_: signal.raise_signal(signal.SIGTERM))  # JAX has such a callback
    gc.collect()
os._exit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, start_up.GOES_ON)


def test_a_loop_that_listens_itself_gets_it():
    with ends_on_sigterm():
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.signal is signal.SIGTERM
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("made", "seconds"),
    [("", 0.5), ("run/config.json", 0.7)],
    ids=["importing", "compiling"],
)
def test_main_ends_with_code_0_before_its_first_step(tmp_path, made, seconds):
    command = [
        sys.executable,
        "-u",
        "main.py",
        "--config=configs/digits_sa.py:model=resnet8",
        f"--workdir={tmp_path}/run",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / made).exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "nothing is lost" in err or "saved at step" in out
    assert not (tmp_path / "run" / "summary.json").exists()
