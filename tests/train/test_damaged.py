"""Damaged checkpoints: told, kept aside, and the newest intact one used; never a wrong number, never a lost file."""

import hashlib
import json
import shutil
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import checksums, sharding
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.state import TrainState
from tests.train.helpers import assert_states_equal

SINGLE = sharding.over(jax.devices()[:1])


def state_of(step):
    """A state with arrays of several sizes and types, all random numbers of the step."""
    rng = np.random.default_rng(step)
    arrays = {f"layer{n}": jnp.asarray(rng.normal(size=(n + 1, 300)), jnp.float32) for n in range(4)}
    arrays["half"] = jnp.asarray(rng.normal(size=(5, 7)), jnp.bfloat16)
    stats = {"mean": jnp.asarray(rng.normal(size=300), jnp.float32)}
    return TrainState(arrays, stats, (jnp.int32(step),), (), jnp.int32(step), jax.random.key(step))


ABSTRACT = jax.eval_shape(lambda: state_of(0))


def restore(workdir, **options):
    """The restored state and the steps there are, the manager closed."""
    checkpoints = Checkpoints(workdir, **options)
    try:
        return checkpoints.restore(ABSTRACT, SINGLE.replicated)
    finally:
        checkpoints.close()


def save(workdir, *steps):
    checkpoints = Checkpoints(workdir)
    for step in steps:
        checkpoints.save(state_of(step), step, {"best_top1_error": step / 100})
    checkpoints.wait()
    assert checkpoints.problems() == []
    checkpoints.close()


def contents(folder):
    """A digest of each file, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workdir with the checkpoints of steps 1 and 2; not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    save(folder, 1, 2)
    return folder


def flip(data, place):
    changed = bytearray(data)
    changed[place] ^= 0x10
    return bytes(changed)


DAMAGE = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "missing": lambda data: None,
    "zeros": lambda data: bytes(len(data)),
    "flipped in the middle": lambda data: flip(data, len(data) // 2),
    "flipped at the start": lambda data: flip(data, len(data) // 10),
    "flipped at the end": lambda data: flip(data, -1),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_whatever_file_is_damaged_no_wrong_number_is_restored(saved, tmp_path, capfd, how):
    newest = saved / "checkpoints" / "2"
    names = [path.relative_to(newest) for path in newest.rglob("*") if path.is_file()]
    data_file = max(names, key=lambda name: (newest / name).stat().st_size if "d" in name.parts else 0)
    went_back = set()
    for number, name in enumerate(names):
        workdir = tmp_path / str(number)
        shutil.copytree(saved, workdir)
        damaged = workdir / "checkpoints" / "2" / name
        data = DAMAGE[how](damaged.read_bytes())
        damaged.unlink() if data is None else damaged.write_bytes(data)
        left = contents(workdir / "checkpoints" / "2")
        state, extra = restore(workdir)
        lines = capfd.readouterr().err.splitlines()
        step = 1 if lines else 2
        assert_states_equal(state, state_of(step))
        assert extra == {"best_top1_error": step / 100}
        if lines:
            went_back.add(name)
            (line,) = lines
            assert line.startswith("warning: checkpoints/2 is damaged (") and "): went back to step 1. " in line
            assert line.endswith("The damaged one is kept as checkpoints/2.damaged.")
            assert contents(workdir / "checkpoints" / "2.damaged") == left
            assert not (workdir / "checkpoints" / "2").exists()
    assert {"_METADATA", "metadata"} <= {name.name for name in went_back} or "flipped" in how
    if how != "flipped at the end":  # where some files have padding
        assert data_file in went_back


def test_a_step_whose_checkpoint_was_damaged_is_saved_again(saved, tmp_path, capfd):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for times, kept in enumerate(["2.damaged", "2.damaged-2"], start=1):
        (tmp_path / "checkpoints" / "2" / "state" / "manifest.ocdbt").write_bytes(b"")
        checkpoints = Checkpoints(tmp_path)
        state, _ = checkpoints.restore(ABSTRACT, SINGLE.replicated)
        assert checkpoints.latest_step() == int(state.step) == 1
        assert "2 is damaged (state/manifest.ocdbt is empty): went back" in capfd.readouterr().err
        assert len(list((tmp_path / "checkpoints").glob("*.damaged*"))) == times
        assert (tmp_path / "checkpoints" / kept).is_dir()
        checkpoints.save(state_of(2), 2, {"best_top1_error": 0.02})
        checkpoints.close()
        assert checkpoints.problems() == []
        assert_states_equal(restore(tmp_path)[0], state_of(2))


def test_half_written_folders_are_told_each(saved, tmp_path, capfd):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "7").mkdir()
    (tmp_path / "checkpoints" / "5" / "state").mkdir(parents=True)
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    assert_states_equal(restore(tmp_path)[0], state_of(2))
    lines = capfd.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["checkpoints/7", "checkpoints/5"]
    assert all("(state/_METADATA is missing): went back to step 2" in line for line in lines)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "2", "5.damaged", "7.damaged"}


def test_where_none_is_intact_nothing_is_changed(saved, tmp_path, capfd):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "1" / "extra" / "metadata").unlink()
    (tmp_path / "checkpoints" / "2" / "state" / "_METADATA").write_text("{")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"2 \(state/_METADATA is not the JSON .*; 1 \(extra/metadata is missing\)"):
        restore(tmp_path)
    assert contents(tmp_path) == before
    assert capfd.readouterr().err == ""


def test_who_only_reads_moves_nothing(saved, tmp_path, capfd):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "2" / "state" / "_METADATA").unlink()
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir()  # a training's, that runs beside
    before = contents(tmp_path)
    assert_states_equal(restore(tmp_path, read_only=True)[0], state_of(1))
    assert contents(tmp_path) == before
    assert (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").exists()
    assert "went back to step 1. The damaged one is left as it is." in capfd.readouterr().err


def test_a_changed_figure_in_the_dictionary_is_noticed(saved, tmp_path, capfd):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "2" / "extra" / "metadata"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best_top1_error": 0.03}))
    assert restore(tmp_path)[1] == {"best_top1_error": 0.01}
    assert "(extra is not what was saved: the checksums differ)" in capfd.readouterr().err


def test_checkpoints_from_before_there_were_checksums_are_restored(tmp_path, capfd):
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        items = dict(state=ocp.args.StandardSave(state_of(4)), extra=ocp.args.JsonSave({"wall_seconds": 1.5}))
        manager.save(4, args=ocp.args.Composite(**items))
    state, extra = restore(tmp_path)
    assert_states_equal(state, state_of(4))
    assert extra == {"wall_seconds": 1.5}
    assert capfd.readouterr().err == ""


def test_checksums_are_of_the_bytes_in_row_order():
    state = state_of(3)
    found = checksums.of_arrays(state)
    assert len(found) == len(jax.tree.leaves(state))
    for name, array in state.params.items():
        assert found[f"params.{name}"] == zlib.crc32(np.asarray(array).tobytes())
    assert found["key"] == zlib.crc32(np.asarray(jax.random.key_data(state.key)).tobytes())
    fortran = {"a": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))}
    assert checksums.of_arrays(fortran) == {"a": zlib.crc32(np.arange(6, dtype=np.float32).tobytes())}
    assert checksums.of_json({"a": 1, "b": None}) == checksums.of_json({"b": None, "a": 1})
    assert checksums.of_json({"a": 1}) != checksums.of_json({"a": 2})
