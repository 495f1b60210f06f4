"""Modules of one's own, by `config.imports`: what they add is there for whoever reads the config."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import common
from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.data.info import INFO
from softaug_jax.models import MODELS
from softaug_jax.report import runs
from softaug_jax.tasks import idle
from softaug_jax.tasks.classification import CLASSIFICATION, ERASERS, POLICIES
from softaug_jax.train import setup
from softaug_jax.train.validate import validate

SOURCE = """
from softaug_jax.augment import Flip, RandomErasing
from softaug_jax.data.info import INFO
from softaug_jax.models import MODELS
from softaug_jax.models.resnet import resnet8
from softaug_jax.tasks.classification import ERASERS, POLICIES

INFO["mine"] = INFO["digits"]._replace(name="mine", num_classes=3)
MODELS["mynet"] = resnet8
POLICIES["mirror"] = lambda augment: Flip()
ERASERS["half"] = lambda augment: RandomErasing(augment.half_probability, soft=True)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """One that needs a module which is on the path and not imported yet."""
    (tmp_path / "my_method.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    config = common.base("mine", "mine", common.parse_arg("model=mynet,policy=mirror", **common.ARGUMENTS))
    config.imports = "my_method"
    config.augment.crop, config.augment.erase, config.augment.half_probability = "none", "half", 1.0
    config.soften.mode = "target"
    before = [(entries, dict(entries)) for entries in (INFO, MODELS, POLICIES, ERASERS)]
    yield config
    sys.modules.pop("my_method", None)
    for entries, kept in before:
        entries.clear()
        entries.update(kept)


def test_a_config_trains_what_its_module_adds(config):
    validate(config, num_devices=1)
    parts = setup.build(config)
    assert parts.info.num_classes == 3
    assert [member.name for member in parts.chain.members] == ["flip", "policy", "normalize", "erase"]
    seen = parts.chain.augment({"image": jnp.zeros((8, 8, 8, 1), jnp.uint8)}, jax.random.key(0))
    assert np.all(seen.visibility < 1)
    assert CLASSIFICATION.describe(config) == "no crop, mirror, half, target only"
    assert idle.sentences(config, {"soften.mode": "target", "soften.k": 2.0}) == []  # its visibility is what softens


def test_who_reads_the_run_imports_it_if_told_to(config, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UsageError, match=r"trained with the module my_method, .* set SOFTAUG_IMPORTS=my_method in"):
        runs.read(tmp_path)
    assert "my_method" not in sys.modules  # nothing is executed because a file says so
    monkeypatch.setenv("SOFTAUG_IMPORTS", "other,my_method")
    assert runs.read(tmp_path).softening["p_min"] == 1 / 3
    monkeypatch.delenv("SOFTAUG_IMPORTS")
    assert runs.read(tmp_path).workdir == tmp_path  # imported before


def test_a_module_that_is_not_there_is_named(config):
    config.imports = "my_method,no_such_module"
    with pytest.raises(UsageError, match=r"no_such_module can't be imported .* folder it is in must be on PYTHONPATH"):
        validate(config, num_devices=1)


def test_a_network_of_another_kind_is_told_what_it_must_be(monkeypatch):
    monkeypatch.setitem(MODELS, "plain", lambda **arguments: nnx.Linear(1, 10, rngs=arguments["rngs"]))
    with pytest.raises(UsageError, match=r"'plain' is a Linear. .* features\(images, key\) and a classifier"):
        models.create("plain", num_classes=10, channels=1)
