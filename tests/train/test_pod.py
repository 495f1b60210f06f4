"""Two processes on this machine's CPU: they train as one does, stop together, and do not wait for the dead."""

import json
import signal
import socket
import time

import numpy as np
import pytest

from softaug_jax.train.workdir import Workdir
from tests.train.helpers import config, main
from tests.train.pod_worker import LOADERS, STEPS, losses
from tests.train.pods import finish, joining, pod, running, workers

HEARTBEAT_SECONDS = 30
LONG = (
    "--config=configs/digits_sa.py:epochs=300",
    "--config.eval_every_epochs=300",
    f"--heartbeat_timeout={HEARTBEAT_SECONDS}",
)


def test_two_processes_train_as_one_does(tmp_path):
    with workers("tests.train.pod_worker", tmp_path) as processes:
        one = losses(devices=1)
        for code, _, err in finish(processes):
            assert code == 0, err
    both = [np.load(tmp_path / f"process{i}.npz") for i in range(2)]
    for loader in LOADERS:
        assert len(one[loader]) == STEPS
        np.testing.assert_array_equal(both[0][loader], both[1][loader])
        np.testing.assert_allclose(both[0][loader], one[loader], rtol=0, atol=1e-5)


def until(condition, process, seconds=300.0):
    """Waits until the condition holds while the process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_signal_to_one_stops_both_at_one_step_and_a_death_ends_the_other(tmp_path):
    run, metrics = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    with pod(*LONG, f"--workdir={run}") as processes:
        until(lambda: metrics.exists() and metrics.stat().st_size > 0, processes[0])  # an epoch is over
        processes[1].send_signal(signal.SIGTERM)
        (code, out, err), (other_code, other_out, other_err) = finish(processes)
    assert (code, other_code) == (0, 0), err + other_err
    assert not [line for line in other_out.splitlines() if not line.startswith("[Gloo]")], "the first process prints"
    (step,) = (int(path.name) for path in (run / "checkpoints").iterdir())  # each would have saved its own
    assert f"SIGTERM on process 1 ({socket.gethostname()}): saved at step {step} in {run}" in out
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    assert rows[-1]["step"] == step

    written = metrics.stat().st_size
    with pod(*LONG, f"--workdir={run}") as processes:
        until(lambda: metrics.stat().st_size > written, processes[0])
        processes[1].kill()
        began = time.monotonic()
        (code, out, err), _ = finish(processes)
    assert time.monotonic() - began < HEARTBEAT_SECONDS + 30
    assert code == 1
    assert f"going on at step {step}" in out
    assert err.splitlines()[-1].startswith(f"error: process 1 ({socket.gethostname()}) died or can't be reached"), err


@pytest.mark.slow
def test_both_go_back_to_the_checkpoint_before_one_that_is_damaged(tmp_path):
    run = tmp_path / "run"
    options = ("--config=configs/digits_sa.py:epochs=3,model=resnet8", f"--workdir={run}")
    with pod(*options) as processes:
        assert [code for code, _, _ in finish(processes)] == [0, 0]
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").unlink()
    steps = sorted(int(path.name) for path in (run / "checkpoints").iterdir())
    data = max((run / "checkpoints" / str(steps[-1]) / "state").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 255
    data.write_bytes(content)
    with pod(*options) as processes:
        (code, out, err), (other_code, _, other_err) = finish(processes)
    assert (code, other_code) == (0, 0), err + other_err
    assert f"checkpoints/{steps[-1]} is damaged" in err and f"went back to step {steps[-2]}" in err
    assert "is damaged" not in other_err, "it is said once"
    assert f"going on at step {steps[-2]}" in out
    again = json.loads((run / "summary.json").read_text())
    assert all(again[name] == summary[name] for name in ("top1_error", "nll", "ece"))


def test_processes_that_differ_say_what_and_end(tmp_path):
    own = (("--config.seed=1",), ("--config.seed=2",))
    with pod(*LONG, f"--workdir={tmp_path}/run", own=own) as processes:
        ended = finish(processes)
    for code, out, err in ended:
        assert code == 2
        assert out == ""
        assert err.splitlines()[-1].startswith("error: The processes differ from process 0: on process 1 ("), err
        assert "config.seed is 2, not 1." in err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_what_fails_on_one_ends_both(tmp_path):
    Workdir(tmp_path / "taken").claim(config(seed=9))
    own = ((f"--workdir={tmp_path}/run",), (f"--workdir={tmp_path}/taken",))
    with pod(*LONG, own=own) as processes:
        ended = finish(processes)
    for code, out, err in ended:
        assert (code, out) == (2, "")
        assert "was made with another config" in err.splitlines()[-1], err


def test_a_coordinator_that_is_not_there_is_one_line():
    with running([main(LONG[0], *joining(2)[1], "--initialization_timeout=1")]) as processes:
        ((code, out, err),) = finish(processes)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: after 1 s not all 2 processes had met at localhost:")
    assert "--initialization_timeout" in line
