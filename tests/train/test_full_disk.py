"""A disk that is full while a training writes: the training goes on, says so, and writes again when there is room.

The disk is a small file system in memory, which only root may mount; elsewhere a limit on the size of files, which
the system enforces too.
"""

import io
import itertools
import json
import resource
import struct
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.run_files import read_history, read_json, write_json
from softaug_jax.train import loop, sharding, shared
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.events import Events
from softaug_jax.train.progress import Progress
from softaug_jax.train.state import TrainState
from softaug_jax.train.training import Training
from softaug_jax.train.workdir import MetricsLog, Workdir
from tests.train.helpers import assert_states_equal, config

SINGLE = sharding.over(jax.devices()[:1])
MIB = 1 << 20


class Disk:
    """A file system of a few MiB, that can be filled up."""

    def __init__(self, path):
        self.path, self._filler = path, path / "filler"

    def fill(self):
        with self._filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.writelines(itertools.repeat(bytes(4096)))

    def free(self):
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def limit():
    """Limits the size of any file that is written from now on, in bytes; None: no limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def state_of(step):
    noise = np.random.default_rng(step).normal(size=(500, 500))  # 1 MB that can't be compressed
    return TrainState({"w": jnp.asarray(noise, jnp.float32)}, {}, (), (), jnp.int32(step), jax.random.key(step))


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def scalars(workdir):
    """What is in a folder's event files, {(tag, step): value}, read by the format's description."""
    from tensorboardX.proto import event_pb2

    found = {}
    for path in workdir.glob("events.out.tfevents.*"):
        data = path.read_bytes()
        while len(data) >= 12:
            (length,) = struct.unpack("<Q", data[:8])
            if len(data) < 16 + length:
                break  # cut off
            event = event_pb2.Event.FromString(data[12 : 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            data = data[16 + length :]
    return found


def test_a_save_that_fails_is_told_once_and_leaves_room(disk, capfd):
    checkpoints = Checkpoints(disk.path)
    checkpoints.save(state_of(1), 1, {})
    checkpoints.wait()
    disk.fill()
    for step in (2, 3):
        checkpoints.save(state_of(step), step, {})
        checkpoints.wait()
        assert checkpoints.problems() == [f"checkpoints/{step} was not saved (No space left on device)"]
        assert checkpoints.problems() == []
        assert checkpoints.latest_step() == 1
        assert [path.name for path in checkpoints.folder.iterdir()] == ["1"]
    disk.free()
    checkpoints.save(state_of(3), 3, {})
    checkpoints.wait()
    assert checkpoints.problems() == []
    restored, _ = checkpoints.restore(jax.eval_shape(lambda: state_of(0)), SINGLE.replicated)
    assert_states_equal(restored, state_of(3))
    checkpoints.close()
    assert capfd.readouterr().err == ""  # of Orbax's thousands of lines


def test_a_save_that_fails_for_another_reason_is_told_too(tmp_path, limit, capfd):
    checkpoints = Checkpoints(tmp_path)
    limit(MIB // 4)
    checkpoints.save(state_of(1), 1, {})
    checkpoints.wait()
    limit(None)
    (problem,) = checkpoints.problems()
    assert problem.startswith("checkpoints/1 was not saved (") and "File too large" in problem
    checkpoints.save(state_of(1), 1, {})
    checkpoints.wait()
    assert checkpoints.problems() == [] and checkpoints.latest_step() == 1
    checkpoints.close()
    assert capfd.readouterr().err == ""


def test_no_row_of_metrics_is_lost_or_written_twice(tmp_path, limit):
    told = []
    log = MetricsLog(Workdir(tmp_path), from_step=0, tell=told.append)
    value = lambda step: {"loss": step / 7, "bins": [step] * 50}
    log.write("train", 1, 0.1, value(1))
    limit((tmp_path / "metrics.jsonl").stat().st_size + 17)  # the next row fits in part
    for step in (2, 3):
        log.write("train", step, 0.1, value(step))
    refused = [sentence for sentence in told if sentence.startswith("metrics.jsonl in ")]
    assert len(refused) == 2 and all("(File too large)" in sentence for sentence in refused)
    limit(None)
    log.write("train", 4, 0.1, value(4))
    log.close()
    assert [(row["step"], row["loss"], row["bins"]) for row in rows(tmp_path)] == [
        (step, step / 7, [step] * 50) for step in (1, 2, 3, 4)
    ]
    assert scalars(tmp_path) == {("train/loss", step): pytest.approx(step / 7) for step in (1, 2, 3, 4)}


def test_a_full_disk_neither_stops_nor_tears_events(disk):
    events = Events(disk.path, purge_step=1)
    events.write("train", 1, {"loss": 1.0, "bins": [1, 2]})
    disk.fill()
    refused = 0
    for step in range(2, 300):  # more than one page holds, and more than any queue
        try:
            events.write("train", step, {"loss": float(step), "a name that takes room": 0.0})
        except OSError:
            refused += 1
    assert refused > 200
    disk.free()
    events.write("train", 300, {"loss": 300.0})
    events.close()
    found = scalars(disk.path)
    assert {step: found["train/loss", step] for step in range(1, 301)} == {step: float(step) for step in range(1, 301)}


class Refusing(io.StringIO):
    """A stream into a pipe that nobody reads any more."""

    def flush(self):
        raise BrokenPipeError("Broken pipe")


def test_a_log_that_nobody_can_read_is_no_reason_to_stop(monkeypatch):
    out, err = Refusing(), io.StringIO()
    progress = Progress(10, 0, 1)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    progress.say("epoch 1")
    progress.warn("still here")
    progress.close()
    assert "epoch 1" in out.getvalue()
    assert err.getvalue() == "warning: still here.\n"


def test_a_file_that_can_not_be_written_whole_is_as_it_was(disk):
    path = disk.path / "summary.json"
    write_json(path, {"a": 1})
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": "b" * 10_000})
    assert read_json(path) == {"a": 1}
    assert {each.name for each in disk.path.iterdir()} == {"summary.json", "filler"}


def test_a_training_goes_on_and_ends_with_an_error_only_if_its_end_is_lost(disk, one_device, capfd):
    chosen = config(arg="epochs=3", evals__periodic=(), evals__final=("classification",))
    folder = Workdir(disk.path / "run")
    folder.claim(chosen)
    arrays = sources.load("digits", "train"), sources.load("digits", "test")
    training = Training(chosen, folder, *arrays, shared.digest(arrays[0]))
    train_epoch, newest = training.train_epoch, []

    def with_a_full_disk(stop):
        """Full in the first and in the last epoch."""
        is_full = len(newest) in (0, 2)
        if is_full:
            disk.fill()
        train_epoch(stop)
        training.checkpoints.wait()
        newest.append(training.checkpoints.latest_step())
        if is_full and len(newest) < 3:
            disk.free()

    training.train_epoch = with_a_full_disk
    with pytest.raises(UsageError, match=r"checkpoints/68 was not saved \(No space .* goes on from step 45\.$"):
        training.run()
    assert newest == [None, 45, 45]
    assert not (folder.path / "summary.json").exists()
    lines = capfd.readouterr().err.splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    told = "checkpoints/23 was not saved (No space left on device). Training goes on"
    assert sum(told in line for line in lines) == 1

    disk.free()
    summary = loop.run(chosen, folder.path)
    assert summary["steps"] == 68
    assert capfd.readouterr().err == ""
    history = [(row["split"], row["step"]) for row in read_history(folder.path / "metrics.jsonl")]
    assert [step for split, step in history if split == "train"] == [23, 45, 68]
    assert len(rows(folder.path)) == len(set(history))
