"""Eight virtual CPU devices, strict arrays, and one compilation cache for all processes of a test session."""

import os
import sys
import tempfile

from tests.xla import flags

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = flags(devices=8)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Most of the suite's time is compilation, and several tests, and the processes they start, compile the same programs.
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits the one of the process that started it
    _CACHE = tempfile.TemporaryDirectory(prefix="softaug_jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
os.environ["EPATH_USE_TF"] = "false"  # as softaug_jax.paths has it, which JAX's cache may be before

import hypothesis
import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)  # also inside jitted functions

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("suite")


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's random numbers, the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would end this process at once raises SystemExit instead."""
    monkeypatch.setattr(os, "_exit", sys.exit)
