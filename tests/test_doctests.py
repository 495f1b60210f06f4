"""The examples in the docstrings of the core run, and say what they show."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import pytest

WITH_EXAMPLES = ["", ".softening", ".crops", ".losses", ".pair_losses", ".metrics", ".calibration", ".evals.knn"]
WITHOUT = [".checks", ".numerics", ".augment", ".augment.chain", ".augment.crop", ".augment.flip", ".augment.transform"]


@pytest.mark.parametrize("name", WITH_EXAMPLES + WITHOUT)
def test_examples_run(name):
    module = importlib.import_module(f"softaug_jax{name}")
    failed, tried = doctest.testmod(module, extraglobs=dict(jax=jax, jnp=jnp))
    assert failed == 0
    assert bool(tried) == (name in WITH_EXAMPLES)
