"""One of two processes whose saves and checkpoints go wrong, for test_pod_checkpoints.py: -m ... FLAGS WORKDIR."""

import json
import resource
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax import cli
from softaug_jax.train import checkpoint, sharding
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.state import TrainState
from tests.train.pods import joined

SIZE = 1 << 18  # of the files that can be written, in bytes; a state's is four times as large


def on_all_devices(tree, shardings):
    """Host arrays on the devices of all processes."""
    place = lambda x: jax.make_array_from_callback(np.shape(x), shardings.replicated, lambda part: np.asarray(x)[part])
    return jax.tree.map(place, tree)


def state_of(step):
    noise = np.random.default_rng(step).normal(size=(500, 500)).astype(np.float32)  # can't be compressed
    return TrainState({"w": noise}, {}, (), (), np.int32(step), np.zeros(2, np.uint32))


def limit(size):
    """Limits the size of any file that this process writes from now on; None: no limit."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))


def play(peers, folder):
    """Saves that fail on both and on one, and a checkpoint that one can't read; what this process sees of it."""
    seen, shardings = {}, sharding.over()
    add = jax.jit(jnp.sum, out_shardings=shardings.replicated)
    numbers = jax.make_array_from_callback((2,), shardings.batch, lambda part: np.ones(2, np.float32)[part])
    checkpoints = Checkpoints(folder)
    save = lambda step: checkpoints.save(on_all_devices(state_of(step), shardings), step, {})

    def noticed():
        while not (problems := checkpoints.problems()):
            time.sleep(0.02)
        return problems

    save(1)
    checkpoints.wait()
    limit(SIZE)
    save(2)
    if peers.is_first:
        seen["both fail"] = noticed()
    assert float(add(numbers)) == 2.0  # the first trains on, and the other looks only after its next step
    if not peers.is_first:
        seen["both fail"] = noticed()
    limit(SIZE if peers.is_first else None)
    save(3)
    checkpoints.wait()
    seen["one fails"] = checkpoints.problems()
    limit(None)
    save(4)
    checkpoints.wait()
    seen["none fails"] = checkpoints.problems()

    check_file = checkpoint._check_file

    def stale(path, name):
        if "/4/" in str(path):
            raise OSError(116, "Stale file handle")
        check_file(path, name)

    if not peers.is_first:
        checkpoint._check_file = stale
    restored, _ = checkpoints.restore(jax.eval_shape(lambda: state_of(0)), shardings.replicated)
    seen["restored"] = int(restored.step)
    print(json.dumps(seen), flush=True)

    def unreadable(*args, **options):
        raise ValueError("one memory is bad")

    if not peers.is_first:
        checkpoints._manager.restore = unreadable
        peers._store._patience_seconds = 1.0
    checkpoints.restore(jax.eval_shape(lambda: state_of(0)), shardings.replicated)


if __name__ == "__main__":
    cli.quiet()
    checkpoint.SAVE_SECONDS = 2
    with joined(sys.argv) as peers:
        play(peers, Path(sys.argv[-1]))
