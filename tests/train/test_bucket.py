"""Runs in a bucket: what is on disk else is there, whatever goes wrong on the way."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.paths import path_of
from softaug_jax.report.__main__ import main as report
from softaug_jax.report.runs import find
from softaug_jax.run_files import read_history
from softaug_jax.train import loop, setup
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.workdir import MetricsLog, Workdir
from tests import bucket
from tests.train import helpers
from tests.train.test_damaged import ABSTRACT, SINGLE, restore, save, state_of

FILES = {"config.json", "metrics.jsonl", "summary.json", "figures", "checkpoints"}


@pytest.fixture(scope="module")
def root():
    with bucket.served() as address:
        yield address


@pytest.fixture(scope="module")
def runs(root, one_device, tmp_path_factory):
    """One config trained in a bucket and on this machine."""
    folders = path_of(root) / "run", tmp_path_factory.mktemp("run")
    for folder in folders:
        loop.run(helpers.config(arg="epochs=3"), str(folder))
    return folders


def rows_of(folder):
    """Its metrics but for what depends on the machine's speed."""
    timed = ("examples_per_second",)
    return [{k: v for k, v in row.items() if k not in timed} for row in read_history(folder / "metrics.jsonl")]


def state_in(folder):
    """The newest checkpoint's state."""
    checkpoints = Checkpoints(folder, read_only=True)
    config = helpers.config(arg="epochs=3")
    abstract = jax.eval_shape(setup.build(config, 1437).initial_state)
    try:
        return checkpoints.restore(abstract, SINGLE.replicated)[0]
    finally:
        checkpoints.close()


def test_a_run_in_a_bucket_is_that_on_disk(runs):
    there, here = runs
    for folder in runs:
        assert {path.name for path in folder.iterdir() if "events" not in path.name} == FILES
        (events,) = folder.glob("events.out.tfevents.*")
        assert len(events.read_bytes()) > 1000
    assert rows_of(there) == rows_of(here)
    assert {path.name for path in (there / "figures").iterdir()} == {path.name for path in (here / "figures").iterdir()}
    assert (there / "figures" / "augmented.png").read_bytes().startswith(b"\x89PNG")
    helpers.assert_states_equal(state_in(there), state_in(here))


def test_jobs_are_told_whether_a_run_in_a_bucket_is_finished(runs, root):
    there, _ = runs
    command = [helpers.ROOT / "launch" / "finished.sh"]
    code = lambda where: subprocess.run([*command, where], env={**os.environ, "PYTHON": sys.executable}).returncode
    assert (code(str(there)), code(f"{root}/none")) == (0, 1)


def test_a_run_killed_while_it_saved_goes_on_from_the_checkpoint_before(runs, root, capsys):
    there, here = runs
    steps = sorted(int(path.name) for path in (there / "checkpoints").iterdir())
    (there / "checkpoints" / str(steps[-1]) / "commit_success.txt").unlink()  # written last
    (there / "summary.json").unlink()
    loop.run(helpers.config(arg="epochs=3"), str(there))
    assert f"going on at step {steps[-2]}, in gs://" in capsys.readouterr().out
    assert rows_of(there) == rows_of(here)
    helpers.assert_states_equal(state_in(there), state_in(here))


def test_a_finished_run_is_left_as_it_is_and_can_be_evaluated(runs, capsys):
    there, _ = runs
    config = helpers.config(arg="epochs=3")
    summary = loop.run(config, str(there))
    assert f"{there} is finished" in capsys.readouterr().out
    assert loop.run(config, str(there), "eval")["top1_error"] == summary["top1_error"]
    assert json.loads((there / "eval.json").read_text())["top1_error"] == summary["top1_error"]
    with pytest.raises(UsageError, match=f"--workdir={there} was made with another config"):
        loop.run(helpers.config(arg="epochs=4"), str(there))


def test_runs_in_a_bucket_are_compared(runs, root, capsys):
    assert report([root, f"--out={root}/report"]) == 0
    out = path_of(root) / "report"
    assert "soft crop" in (out / "table.md").read_text()
    assert (out / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert report([f"{root}/nothing"]) == 2
    assert f"{root}/nothing is not a folder" in capsys.readouterr().err


def test_a_damaged_checkpoint_in_a_bucket_is_set_aside(root, capsys):
    workdir = path_of(root) / "damaged"
    save(workdir, 1, 2)
    (data, *_) = (workdir / "checkpoints" / "2" / "state" / "d").iterdir()
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 255
    data.write_bytes(bytes(content))
    state, extra = restore(workdir)
    helpers.assert_states_equal(state, state_of(1))
    assert extra == {"best_top1_error": 0.01}
    assert "warning: checkpoints/2 is damaged" in capsys.readouterr().err
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"1", "2.damaged"}


def test_a_half_written_checkpoint_is_written_again(root):
    workdir = path_of(root) / "half"
    save(workdir, 1, 2)
    (workdir / "checkpoints" / "2" / "commit_success.txt").unlink()
    checkpoints = Checkpoints(workdir)
    assert checkpoints.latest_step() == 1
    checkpoints.save(state_of(2), 2, {"best_top1_error": 0.5})
    checkpoints.wait()
    assert checkpoints.problems() == []
    state, extra = checkpoints.restore(ABSTRACT, SINGLE.replicated)
    checkpoints.close()
    helpers.assert_states_equal(state, state_of(2))
    assert extra == {"best_top1_error": 0.5}


def test_rows_are_in_the_bucket_before_the_checkpoint_that_follows_them(root):
    folder = Workdir(f"{root}/rows")
    log = MetricsLog(folder, 0)
    for step in range(1, 4):
        log.write("train", step, step / 10, {"loss": 1.0})
    log.flush()
    assert [row["step"] for row in read_history(folder.path / "metrics.jsonl")] == [1, 2, 3]
    log.close()
    MetricsLog(folder, 2).close()  # gone on with from step 2
    assert [row["step"] for row in read_history(folder.path / "metrics.jsonl")] == [1, 2]


def test_a_bucket_that_is_not_there_is_named(root, capsys):
    with pytest.raises(UsageError, match=r"^--workdir=gs://no-such-bucket/run can't be written: .* another folder\.$"):
        loop.run(helpers.config(), "gs://no-such-bucket/run")


def test_arrays_are_read_from_a_bucket(root, tmp_path, rng):
    images = rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = np.arange(20) % 10
    arrays = {f"{split}_{name}": a for split in sources.SPLITS for name, a in (("images", images), ("labels", labels))}
    np.savez_compressed(tmp_path / "cifar10.npz", **arrays)
    (path_of(root) / "data" / "cifar10.npz").write_bytes((tmp_path / "cifar10.npz").read_bytes())
    loaded = sources.load("cifar10", "test", f"{root}/data")
    np.testing.assert_array_equal(loaded.images, images)
    np.testing.assert_array_equal(loaded.labels, labels)


def test_a_bucket_that_may_not_be_read_is_told(monkeypatch):
    def refuse(path):
        raise OSError(13, "caller does not have storage.objects.get access", str(path))

    monkeypatch.setattr(type(path_of("gs://bucket")), "exists", refuse)
    monkeypatch.setattr(type(path_of("gs://bucket")), "is_dir", refuse)
    with pytest.raises(UsageError, match=r"^--workdir=gs://bucket/run can't be looked into: caller does not have"):
        loop.run(helpers.config(), "gs://bucket/run")
    with pytest.raises(UsageError, match=r"^gs://bucket/run can't be read: caller does not have"):
        find(["gs://bucket/run"])
