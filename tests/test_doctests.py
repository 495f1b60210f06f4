"""The examples in the package's docstrings run, and say what they show."""

import doctest
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

ROOT = Path(__file__).parents[1]
CORE = ["__init__", "softening", "crops", "losses", "pair_losses", "metrics", "calibration"]  # of which each has some
MODULES = [path.relative_to(ROOT).with_suffix("") for path in sorted(ROOT.glob("softaug_jax/**/*.py"))]
WITH_EXAMPLES = [".".join(module.parts) for module in MODULES if ">>>" in (ROOT / f"{module}.py").read_text()]


def test_the_core_has_examples():
    assert {f"softaug_jax.{name}" for name in CORE} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name):
    module = importlib.import_module(name.removesuffix(".__init__"))
    failed, tried = doctest.testmod(module, extraglobs=dict(jax=jax, jnp=jnp))
    assert failed == 0 and tried
