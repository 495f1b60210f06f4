"""Whole runs through main.py: to the end, killed, stopped, wrong."""

import json
import signal
import sys
import time
from types import SimpleNamespace
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

import main as program
from softaug_jax import data
from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.train import evaluation, loop, progress, setup, sharding, shared
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.training import NonFiniteLoss, Training
from softaug_jax.train.workdir import MetricsLog, Workdir
from tests.train.helpers import assert_states_equal, config, main

SMALL = "--config=configs/digits_sa.py:epochs=4"
MORE = "--config=configs/digits_sa.py:epochs=8"  # to be stopped well before its end, however slow is who stops it


def wait_for(path, process, seconds=120.0):
    """Waits until the path exists while the process runs."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def final_state(workdir):
    parts = setup.build(config(arg="epochs=8"))
    checkpoints = Checkpoints(workdir)
    state, _ = checkpoints.restore(jax.eval_shape(parts.initial_state), sharding.over(jax.devices()[:1]).replicated)
    checkpoints.close()
    return state


def finish(*args):
    process = main(*args)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("loader", ["device", pytest.param("tfdata", marks=pytest.mark.slow)])
def test_killed_and_stopped_runs_go_on_to_the_same_parameters(tmp_path, loader, one_device, capsys):
    flags = (MORE, f"--config.data.loader={loader}")
    finish(*flags, f"--workdir={tmp_path}/whole")

    process = main(*flags, f"--workdir={tmp_path}/broken")
    wait_for(tmp_path / "broken" / "checkpoints" / "23", process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "broken" / "summary.json").exists()

    process = main(*flags, f"--workdir={tmp_path}/broken")
    wait_for(tmp_path / "broken" / "checkpoints" / "45", process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "SIGTERM: saved at step" in out
    assert not (tmp_path / "broken" / "summary.json").exists()

    finish(*flags, f"--workdir={tmp_path}/broken")
    assert_states_equal(final_state(tmp_path / "whole"), final_state(tmp_path / "broken"))

    rows = [json.loads(line) for line in (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()]
    keys = [(row["split"], row["step"]) for row in rows]
    assert len(keys) == len(set(keys))
    chosen = config(arg="epochs=8", data__loader=loader)
    loop.run(chosen, tmp_path / "broken")
    assert "is finished" in capsys.readouterr().out

    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert summary["num_train"] == 1437
    assert summary["num_test"] == summary["num_examples"] == 360
    assert summary["steps"] == 180
    assert summary["top1_error"] < 0.5
    loop.run(chosen, tmp_path / "whole", "eval")
    assert "top1_error" in capsys.readouterr().out
    figures = json.loads((tmp_path / "whole" / "eval.json").read_text())
    assert figures["top1_error"] == summary["top1_error"]
    assert {p.name for p in (tmp_path / "whole" / "figures").iterdir()} >= {"augmented.png", "learning_curves.png"}


def test_few_images_of_each_class_are_what_is_read_and_what_an_epoch_counts():
    chosen = config(data__images_per_class=9)
    train, test = evaluation.load(chosen, "train"), evaluation.load(chosen, "test")
    assert (len(train.labels), len(test.labels)) == (90, 360)
    assert setup.build(chosen).schedule == setup.build(config(), 90).schedule


def test_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    process = main(SMALL, f"--workdir={tmp_path}/run", "--config.optimizer.learning_rate=1e30")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(
        "error: the loss, or the gradient of the step before, became NaN or infinite at step "
    )
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_run_is_evaluated_on_more_devices_than_divide_its_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", lambda config, workdir: {"steps": 0})
    chosen = config(batch_size=100)
    assert loop.run(chosen, tmp_path, "eval") == {"steps": 0}
    with pytest.raises(UsageError, match="config.batch_size = 100 does not divide over 8 devices"):
        loop.run(chosen, tmp_path)


def test_a_summary_without_a_top1_error_is_told_of_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "load", mock.Mock(side_effect=UsageError("no data")))
    for name, final in (("digits_sa", ("calibration",)), ("simsiam", ("knn",))):
        with pytest.raises(UsageError, match="no data"):
            loop.run(config(name, evals__final=final), tmp_path / "run")
    one, other = capsys.readouterr().err.splitlines()
    assert one.startswith("warning: config.evals.final has no 'classification': the summary will have no top1_error")
    assert other.startswith("warning: config.evals.final has no 'probe': the summary")
    with pytest.raises(UsageError, match="no data"):
        loop.run(config(), tmp_path / "run")
    assert capsys.readouterr().err == ""


def test_what_can_not_be_trained_here_leaves_no_folder_that_refuses_what_can(tmp_path, monkeypatch):
    few = sources.Arrays(*(values[:50] for values in sources.load("digits", "train")))
    monkeypatch.setattr(loop, "load", lambda config, split: few)
    with pytest.raises(UsageError, match="config.batch_size = 64 is more than the 50 training images of digits"):
        loop.run(config(), tmp_path / "run")
    monkeypatch.delattr(data, "tfdata", raising=False)  # where another test has imported it
    monkeypatch.setitem(sys.modules, "softaug_jax.data.tfdata", None)
    with pytest.raises(UsageError, match=r"config.data.loader = 'tfdata' needs TensorFlow \(.*\). Use 'device', or"):
        loop.run(config(batch_size=8, data__loader="tfdata"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_not_finite_is_never_saved(tmp_path, one_device):
    chosen, folder = config(arg="epochs=4"), Workdir(tmp_path)
    folder.claim(chosen)
    train, test = sources.load("digits", "train"), sources.load("digits", "test")
    training = Training(chosen, folder, train, test, shared.digest(train))
    steps_at_flush = []
    training.log = mock.Mock(flush=lambda: steps_at_flush.append(training.checkpoints.latest_step()))
    training.save()
    training.checkpoints.wait()
    assert steps_at_flush == [None]  # the rows are written before the checkpoint that goes on from them
    training.step += 1
    training.state = training.state._replace(params=jax.tree.map(lambda x: x * jnp.nan, training.state.params))
    with pytest.raises(NonFiniteLoss, match=r"parameters became NaN or infinite at step 1; .* of step 0 is kept"):
        training.save()
    assert training.checkpoints.latest_step() == 0
    with pytest.raises(
        NonFiniteLoss,
        match=r"the loss, or the gradient of the step before, became NaN .* at step 0; .* step 0 is kept",
    ):
        training.train_until(5, progress.StopRequest())
    training.checkpoints.close()


def test_a_run_does_not_go_on_with_other_images(tmp_path, one_device):
    chosen, folder = config(arg="epochs=4"), Workdir(tmp_path)
    folder.claim(chosen)
    train, test = sources.load("digits", "train"), sources.load("digits", "test")
    begun = Training(chosen, folder, train, test, shared.digest(train))
    begun.save_now()
    in_another_order = sources.Arrays(train.images[::-1], train.labels[::-1])
    with pytest.raises(UsageError, match=r"begun with other training images, or .* in another order \(images: uint8"):
        Training(chosen, folder, in_another_order, test, shared.digest(in_another_order))
    begun.kept.pop("train")  # as in an older checkpoint: the run goes on with what is there, and keeps that
    begun.step += 1
    begun.save_now()
    begun.checkpoints.close()
    resumed = Training(chosen, folder, in_another_order, test, shared.digest(in_another_order))
    assert resumed.kept["train"] == shared.digest(in_another_order) != shared.digest(train)
    resumed.checkpoints.close()


@pytest.mark.parametrize(
    ("flags", "words"),  # one of each kind: tests/test_cli.py and test_validate.py have all, in one process
    [
        (["--mode=train"], ["--config is missing"]),
        (["--config=configs/digits_sa.py", "--config.augment.sigmaa=1"], ["sigmaa", "sigma"]),
        (["--config=configs/digits_sa.py", "--workdir=/dev/null/run"], ["--workdir=/dev/null/run", "can't be written"]),
    ],
)
def test_bad_command_lines_get_one_line_and_code_2(flags, words):
    process = main(*flags)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    (line,) = err.splitlines()
    assert all(word in line for word in ["error: ", *words]), line


@pytest.mark.parametrize(
    ("workdir", "mode", "words"),
    [
        (None, "eval", "error: --mode=eval needs --workdir, "),
        ("", "eval", "error: --workdir=: after = no shell puts a home folder for ~. Write a whole path."),
        ("~/run", "train", "error: --workdir=~/run: after = no shell puts a home folder for ~. Write a whole path."),
    ],
)
def test_a_bad_workdir_gets_one_line_and_code_2(capsys, workdir, mode, words):
    with pytest.raises(SystemExit) as ended:
        program.main(config(), SimpleNamespace(workdir=workdir, mode=mode))
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(words)


def test_workdir_of_another_config_is_refused(tmp_path):
    Workdir(tmp_path).claim(config(seed=1))
    Workdir(tmp_path).check(config(seed=1, data__dir="/elsewhere"))
    with pytest.raises(UsageError, match=r"augment.sigma: 0.3 there, 0.2 now; seed: 1 there, 0 now"):
        Workdir(tmp_path).check(config(augment__sigma=0.2))


def test_a_machine_without_tensorboardx_loses_its_events_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    log = MetricsLog(Workdir(tmp_path), from_step=0)
    log.write("train", 1, 0.5, {"loss": 2.0})
    log.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] == 2.0
    assert "tensorboardX is not installed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_last_test_is_kept_once_when_a_run_goes_on_after_its_last_checkpoint(tmp_path):
    rows = [("train", 4), ("test", 4), ("train", 8), ("test", 8)]
    log = MetricsLog(Workdir(tmp_path), from_step=0)
    for split, step in rows:
        log.write(split, step, step / 4, {})
    log.close()
    log = MetricsLog(Workdir(tmp_path), from_step=8, ended=True)
    log.write("test", 8, 2.0, {})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["split"], line["step"]) for line in lines] == rows
