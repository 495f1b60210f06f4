"""Small runs for the tests: a config on a part of the digits."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from softaug_jax.train import feed, setup, sharding
from softaug_jax.train.evaluation import load
from tests.xla import flags

ROOT = Path(__file__).parents[2]


def config(name: str = "digits_sa", arg: str = "epochs=2", **fields: object) -> ConfigDict:
    """A config by name, with fields set by dotted names, the dots written as __."""
    chosen = importlib.import_module(f"configs.{name}").get_config(arg)
    for field, value in fields.items():
        *path, last = field.split("__")
        node = chosen
        for part in path:
            node = node[part]
        node[last] = value
    return chosen


@contextlib.contextmanager
def on_one_device() -> Iterator[None]:
    """Whole runs in this process go over one device: over eight virtual ones they take several times as long."""
    over = sharding.over
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "over", lambda devices=None: over(devices or jax.devices()[:1]))
        yield


def train(chosen: ConfigDict, steps: int, devices: int = 1, start: int = 0, state: object = None):
    """Trains on the config's data; returns the final state and each step's mean loss (or a dispatch's)."""
    arrays = load(chosen, "train")
    parts = setup.build(chosen, len(arrays.labels))
    shardings = sharding.over(jax.devices()[:devices])
    source = feed.create(chosen, parts.step, parts.chain, arrays, parts.schedule, shardings)
    if state is None:
        state = jax.jit(parts.initial_state, out_shardings=shardings.replicated)()
    losses = []
    for trained, _, sums in source.run(state, start, start + steps):
        state = trained
        losses.append(sums.means["loss"])
    return state, np.array(losses)


def main(*args: str, devices: int = 1, **options: object) -> subprocess.Popen:
    """Starts main.py in a process of its own, from the repository's root."""
    env = {**os.environ, "XLA_FLAGS": flags(devices), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "main.py", *args],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def assert_states_equal(a: object, b: object) -> None:
    """Bit for bit, keys included."""
    plain = lambda x: np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)
