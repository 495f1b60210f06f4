"""Self-supervised training on the digits, with both loaders."""

import json

import jax
import numpy as np
import pytest

from softaug_jax.data import sources
from softaug_jax.train import loop, progress, setup, sharding, shared
from softaug_jax.train.evaluation import Evaluation
from softaug_jax.train.training import Training
from softaug_jax.train.workdir import MetricsLog, Workdir
from tests.train.helpers import assert_states_equal, config, main, train

SMALL = "dataset=digits,model=resnet8"
HEADS = dict(model__projection_dim=64, model__predictor_dim=16, batch_size=64)


def pairs(name="simsiam", arg="epochs=4,hypothesis=sa1", **fields):
    return config(name, f"{SMALL},{arg}", **{**HEADS, **fields})


# Small rates, so that rounding is all that differs: Barlow Twins' loss and gradient are some fifty times SimSiam's.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "loader", "rate"), [("simsiam", "tfdata", 1e-3), ("barlow_twins", "device", 1e-5)])
def test_one_device_equals_eight(name, loader, rate):
    chosen = pairs(name, data__loader=loader, optimizer__learning_rate=rate)
    _, one = train(chosen, 10, devices=1)
    _, eight = train(chosen, 10, devices=8)
    np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["tfdata", "device"])
def test_interrupted_equals_uninterrupted_bit_for_bit(loader):
    chosen = pairs(data__loader=loader)
    whole, _ = train(chosen, 30)
    part, _ = train(chosen, 13)
    resumed, _ = train(chosen, 17, start=13, state=part)
    assert_states_equal(whole, resumed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arg"),
    [
        ("simsiam", "hypothesis=sa1,learning_rate=0.5"),
        ("barlow_twins", "hypothesis=sa1"),
    ],
)
def test_nearest_neighbours_are_better_than_before_training(name, arg):
    chosen = pairs(name, f"epochs=30,{arg}", evals__knn_k=20)
    arrays = {split: sources.load("digits", split) for split in ("train", "test")}
    parts = setup.build(chosen, len(arrays["train"].labels))
    shardings = sharding.over(jax.devices()[:1])
    evaluation = Evaluation(chosen, parts, arrays["test"], lambda: arrays["train"], shardings)
    error = lambda state: evaluation.run(("knn",), state)["knn_top1_error"]
    untrained = error(jax.jit(parts.initial_state, out_shardings=shardings.replicated)())
    state, _ = train(chosen, parts.schedule.total_steps)
    assert error(state) < 0.75 * untrained


def test_a_whole_run_ends_with_both_errors(tmp_path, one_device):
    process = main(
        f"--config=configs/simsiam.py:{SMALL},epochs=2,hypothesis=sa1",
        f"--workdir={tmp_path}/run",
        "--config.model.projection_dim=64",
        "--config.evals.probe_epochs=2",
        "--config.evals.probe_augment=False",
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "nearest-neighbour test error" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["method"] == "SimSiam, SA#1 (k 4)"
    assert 0 < summary["knn_top1_error"] < 0.9 and 0 < summary["top1_error"] < 0.9
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "iou", "weight", "output_std"} <= rows[0].keys()
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"augmented.png", "self_supervised_curves.png", "pair_weights.png"} <= figures
    fields = dict(model__projection_dim=64, evals__probe_augment=False, evals__final=("knn",))
    figures = loop.run(config("simsiam", f"{SMALL},epochs=2,hypothesis=sa1", **fields), tmp_path / "run", "eval")
    assert figures["knn_top1_error"] == summary["knn_top1_error"]
    assert json.loads((tmp_path / "run" / "eval.json").read_text()) == figures


def test_a_tasks_warning_is_told_after_the_epoch(tmp_path, one_device, capsys):
    chosen, folder = pairs(eval_every_epochs=9, checkpoint_every_epochs=9), Workdir(tmp_path)
    folder.claim(chosen)
    train, test = sources.load("digits", "train"), sources.load("digits", "test")
    training = Training(chosen, folder, train, test, shared.digest(train))
    training.log = MetricsLog(folder, from_step=0)

    def collapsed(end, stop):
        training.step = end
        return {"loss": -1.0, "output_std": 0.0}

    training.train_until = collapsed
    training.train_epoch(progress.StopRequest())
    training.log.close()
    training.checkpoints.close()
    assert "warning: the outputs' standard deviation is 0, under a tenth of 0.12" in capsys.readouterr().out
