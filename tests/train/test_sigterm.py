"""SIGTERM where nothing listens to it: well for a training, whose command goes on, and for nothing else."""

import signal
from types import SimpleNamespace

import pytest

import main as program
from softaug_jax.start_up import ends_on_sigterm
from softaug_jax.train import loop
from tests.train.helpers import config

pytestmark = pytest.mark.usefixtures("stays")


def test_sigterm_without_a_result_is_no_success(capfd):
    with pytest.raises(SystemExit) as ended, ends_on_sigterm(goes_on=False):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    (line,) = capfd.readouterr().err.splitlines()
    assert "the result is missing" in line


@pytest.mark.parametrize(
    ("name", "mode", "code"), [("digits_sa", "train", 0), ("digits_sa", "eval", 143), ("occlusion", "train", 143)]
)
def test_only_a_training_ends_well_on_sigterm(tmp_path, monkeypatch, name, mode, code):
    from softaug_jax import evaluate

    killed = lambda *_: signal.raise_signal(signal.SIGTERM)
    monkeypatch.setattr(loop, "run", killed)
    monkeypatch.setattr(evaluate, "run", killed)
    monkeypatch.setattr(program.cli, "typed", lambda options: {})
    alone = dict(coordinator=None, num_processes=None, process_id=None, initialization_timeout=9, heartbeat_timeout=9)
    with pytest.raises(SystemExit) as ended:
        program.main(config(name, ""), SimpleNamespace(workdir=str(tmp_path), mode=mode, **alone))
    assert ended.value.code == code
