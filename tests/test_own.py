"""Modules of one's own, by `config.imports`: what they add is there for whoever reads the config."""

import importlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import common, simsiam
from softaug_jax import models
from softaug_jax.augment import Flip
from softaug_jax.checks import UsageError
from softaug_jax.data.info import INFO
from softaug_jax.models import MODELS
from softaug_jax.report import runs
from softaug_jax.tasks import idle
from softaug_jax.tasks.augmentations import CROPS, ERASERS, POLICIES
from softaug_jax.tasks.class_objective import LOSSES, SOFTENINGS
from softaug_jax.tasks.classification import CLASSIFICATION
from softaug_jax.tasks.pair_objective import PAIR_WEIGHTS
from softaug_jax.tasks.protocol import Softened
from softaug_jax.tasks.self_supervised import SELF_SUPERVISED
from softaug_jax.train import loop, setup
from softaug_jax.train.validate import validate
from softaug_jax.train.workdir import Workdir
from tests.train.helpers import on_one_device

SOURCE = """
import jax.numpy as jnp
import softaug_jax as sa
from softaug_jax.augment import Flip, RandomErasing, SoftCrop
from softaug_jax.data.info import INFO
from softaug_jax.models import MODELS
from softaug_jax.models.resnet import resnet8
from softaug_jax.tasks.augmentations import CROPS, ERASERS, POLICIES
from softaug_jax.tasks.class_objective import LOSSES, SOFTENINGS
from softaug_jax.tasks.pair_objective import PAIR_WEIGHTS

INFO["mine"] = INFO["digits"]._replace(name="mine", num_classes=3)
MODELS["mynet"] = resnet8
POLICIES["mirror"] = lambda augment: Flip()
CROPS["wide"] = lambda augment, fill: SoftCrop(2 * augment.sigma, fill)
ERASERS["half"] = lambda augment: RandomErasing(augment.half_probability, soft=True)
SOFTENINGS["linear"] = lambda labels, visibility, num_classes, soften: (
    sa.soft_targets(labels, soften.lowest + (1 - soften.lowest) * visibility, num_classes), visibility
)
PAIR_WEIGHTS["few"] = lambda iou, pairs: jnp.where(iou < pairs.p_min, 0.0, 1.0)
LOSSES["squared"] = lambda logits, targets, loss: loss.scale * jnp.sum((logits - targets) ** 2, -1)
"""
ADDED_TO = (INFO, MODELS, POLICIES, CROPS, ERASERS, SOFTENINGS, LOSSES, PAIR_WEIGHTS)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file of a module which is on the path and not imported yet; what it adds is taken away afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = [(entries, dict(entries)) for entries in ADDED_TO]
    yield tmp_path / "my_method.py"
    sys.modules.pop("my_method", None)
    for entries, kept in before:
        entries.clear()
        entries.update(kept)


@pytest.fixture
def config(module):
    """One that needs the module."""
    module.write_text(SOURCE)
    config = common.base("mine", "mine", common.parse_arg("model=mynet,policy=mirror", **common.ARGUMENTS))
    config.imports = "my_method"
    config.augment.crop, config.augment.erase, config.augment.half_probability = "none", "half", 1.0
    config.soften.mode = "target"
    return config


def test_a_config_trains_what_its_module_adds(config):
    validate(config, num_devices=1)
    parts = setup.build(config)
    assert parts.info.num_classes == 3
    assert [member.name for member in parts.chain.members] == ["flip", "policy", "normalize", "erase"]
    seen = parts.chain.augment({"image": jnp.zeros((8, 8, 8, 1), jnp.uint8)}, jax.random.key(0))
    assert np.all(seen.visibility < 1)
    assert CLASSIFICATION.describe(config) == "no crop, mirror, half, target only"
    assert idle.sentences(config, {"soften.mode": "target", "soften.k": 2.0}) == []  # its visibility is what softens


def test_a_softening_of_ones_own_gives_the_targets_and_weights(config):
    config.soften.mode, config.soften.lowest = "linear", 0.5
    validate(config, num_devices=1)
    objective = setup.build(config).objective
    softened = objective.soften(jnp.array([2, 0]), jnp.array([1.0, 0.5]), None, ())
    assert softened.targets.tolist() == [[0, 0, 1], [0.75, 0.125, 0.125]]
    assert softened.weights.tolist() == [1, 0.5]
    assert CLASSIFICATION.describe(config) == "no crop, mirror, half, linear"


def test_a_loss_of_ones_own_is_weighted_and_averaged_as_any_other(config):
    config.soften.mode, config.soften.lowest = "linear", 0.0
    config.loss.name, config.loss.scale = "squared", 2.0
    validate(config, num_devices=1)
    objective = setup.build(config).objective
    softened = objective.soften(jnp.array([2, 0]), jnp.array([1.0, 0.5]), None, ())
    # Squares 1 + 0 + 1 and 0.25 + 0.0625 + 0.0625, twice; weights 1 and 0.5; two examples.
    assert objective.loss(jnp.array([[1.0, 0, 0], [0, 0, 0]]), softened) == (4 + 0.75 * 0.5) / 2
    assert CLASSIFICATION.describe(config).endswith("linear, squared loss")


def test_a_crop_of_ones_own_ends_with_the_cropped_epochs(config):
    config.augment.crop, config.augment.uncropped_final_epochs = "wide", 4
    validate(config, num_devices=1)
    parts = setup.build(config)
    (crop,) = (member for member in parts.chain.members if member.name == "crop")
    assert crop.transform.sigma == 0.6
    assert crop.until_step == parts.schedule.step_of_epoch(config.epochs - 4)
    assert CLASSIFICATION.describe(config).startswith("wide, mirror")


def test_weights_of_pairs_of_ones_own(config):
    pairs = simsiam.get_config("dataset=digits")
    pairs.imports, pairs.pairs.hypothesis, pairs.pairs.p_min, pairs.views.scale_min = "my_method", "few", 0.3, 1.0
    validate(pairs, num_devices=1)
    softened = setup.build(pairs).objective.soften(jnp.zeros(2, int), jnp.array([0.2, 0.5]), None, ())
    assert softened.weights.tolist() == [0, 1]
    assert SELF_SUPERVISED.describe(pairs) == "SimSiam, few"
    assert not idle.sentences(pairs, {"pairs.p_min": 0.3, "pairs.k": 4.0, "pairs.hypothesis": "few"})


@pytest.mark.parametrize("typed", [{"soften.k": 2.0}, {"loss.weighting": "batch_mean"}, {"soften.p_min": 0.2}])
def test_a_softening_of_ones_own_may_take_any_field_and_any_visibility(config, typed):
    config.augment.erase, config.augment.policy = "none", "none"  # every image is whole
    assert idle.sentences(config, typed)
    config.soften.mode = "linear"
    assert not idle.sentences(config, typed)


def test_a_crop_of_ones_own_may_take_any_field(config):
    typed = {"augment.sigma": 0.1, "augment.pad_px": 2, "augment.fill": "mean", "augment.uncropped_final_epochs": 0}
    assert len(idle.sentences(config, typed)) == len(typed)
    config.augment.crop = "wide"
    assert not idle.sentences(config, typed)


def test_what_is_of_another_shape_is_named(config, monkeypatch):
    validate(config, num_devices=1)
    softened = lambda: setup.build(config).objective.soften(jnp.array([2, 0]), jnp.ones(2), None, ())
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: (jnp.ones((2, n)), v[:, None]))
    with pytest.raises(UsageError, match=r"weights of SOFTENINGS\['target'\] have shape \(2, 1\); .* have \(2,\)"):
        softened()
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: (jnp.ones(2), v))
    with pytest.raises(UsageError, match=r"targets of SOFTENINGS\['target'\] have shape \(2,\); .* have \(2, 3\)"):
        softened()
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: (jnp.ones((2, n)), 1.0))
    with pytest.raises(UsageError, match=r"weights of SOFTENINGS\['target'\] are a float; .* array of shape \(2,\)"):
        softened()
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: jnp.ones((2, n)))
    with pytest.raises(UsageError, match=r"SOFTENINGS\['target'\] returned no pair. It must return targets .* weights"):
        softened()
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: (jnp.ones((2, n)), v))
    monkeypatch.setitem(LOSSES, "focal", lambda logits, targets, loss: jnp.ones((2, 1)))
    with pytest.raises(UsageError, match=r"losses of LOSSES\['focal'\] have shape \(2, 1\); they must have \(2,\)"):
        setup.build(config).objective.loss(jnp.ones((2, 3)), softened())


def test_a_loss_of_whole_numbers_is_an_error_as_its_gradient_would_be_0(config, monkeypatch):
    validate(config, num_devices=1)
    monkeypatch.setitem(LOSSES, "focal", lambda logits, targets, loss: jnp.ones(2, int))
    softened = Softened(jnp.ones((2, 3)), jnp.ones(2))
    with pytest.raises(UsageError, match=r"losses of LOSSES\['focal'\] are int32; they must be floating"):
        setup.build(config).objective.loss(jnp.ones((2, 3)), softened)


@pytest.mark.parametrize(
    ("entries", "field", "entry", "told"),
    [
        (SOFTENINGS, "soften.mode", lambda labels, v, n: None, r"\(labels, visibility, num_classes, config.soften\)"),
        (LOSSES, "loss.name", lambda logits, targets: None, r"can't be called with \(logits, targets, config.loss\)"),
        (CROPS, "augment.crop", lambda augment: None, r"can't be called with \(config.augment, fill\): too many"),
        (POLICIES, "augment.policy", Flip(), r"can't be called with \(config.augment\): .* is not a callable object"),
        (ERASERS, "augment.erase", lambda augment, fill: None, r"\(config.augment\): missing a required .*'fill'"),
        (PAIR_WEIGHTS, "pairs.hypothesis", lambda iou: None, r"can't be called with \(iou, config.pairs\)"),
    ],
)
def test_what_can_not_be_called_is_told_before_the_training(config, monkeypatch, entries, field, entry, told):
    section, name = field.split(".")
    chosen = simsiam.get_config("dataset=digits") if section == "pairs" else config
    chosen.imports, chosen[section][name] = "my_method", "wrong"
    monkeypatch.setitem(entries, "wrong", entry)
    with pytest.raises(UsageError, match=f"config.{field} = 'wrong' .*{told}"):
        validate(chosen, num_devices=1)


def test_an_entry_of_the_librarys_is_not_replaced(config, monkeypatch):
    monkeypatch.setitem(SOFTENINGS, "target", lambda labels, v, n, s: None)
    with pytest.raises(UsageError, match=r"config.soften.mode = 'target' is the library's own, and was replaced"):
        validate(config, num_devices=1)


def test_a_config_says_where_its_own_entries_are_from(config):
    validate(config, num_devices=1)
    config.imports, config.augment.crop = "", "wide"
    with pytest.raises(UsageError, match=r"config.augment.crop = 'wide' is not the library's own.* Set config.imports"):
        validate(config, num_devices=1)


def test_a_module_that_fails_leaves_no_config_that_would_refuse_the_mended_one(config, tmp_path):
    config.dataset, config.model.name, config.soften.mode = "digits", "resnet8", "linear"
    config.data.images_per_class, config.batch_size, config.evals.final = 7, 64, ("classification",)
    with on_one_device(), pytest.raises(AttributeError, match="lowest"):  # a field that the config lacks
        loop.run(config, tmp_path / "run")
    folder = Workdir(tmp_path / "run")
    assert not folder.is_run()
    folder.claim(config)
    (folder.path / "checkpoints" / "3").mkdir(parents=True, exist_ok=True)
    folder.release()
    assert folder.is_run(), "there is something to go on from"


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [("soften.mode", "curved", "target_and_weight, linear"), ("loss.name", "cubed", "focal, squared")],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(config, field, value, known):
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(UsageError, match=f"config.{field} = '{value}'.*{known}"):
        validate(config, num_devices=1)


def test_who_reads_the_run_imports_it_if_told_to(config, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UsageError, match=r"trained with the module my_method, .* set SOFTAUG_IMPORTS=my_method in"):
        runs.read(tmp_path)
    assert "my_method" not in sys.modules  # nothing is executed because a file says so
    monkeypatch.setenv("SOFTAUG_IMPORTS", "other")
    with pytest.raises(UsageError, match="set SOFTAUG_IMPORTS=other,my_method in"):
        runs.read(tmp_path)
    monkeypatch.setenv("SOFTAUG_IMPORTS", "other,my_method")
    assert runs.read(tmp_path).softening["p_min"] == 1 / 3
    monkeypatch.delenv("SOFTAUG_IMPORTS")
    assert runs.read(tmp_path).workdir == tmp_path  # imported before


def test_the_readmes_method_is_level_at_both_ends(module):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    module.write_text(readme[readme.index("# my_method.py") :].split("```")[0])
    config = importlib.import_module("my_method").get_config("epochs=50")
    validate(config, num_devices=1)
    objective = setup.build(config).objective
    softened = objective.soften(jnp.array([3, 3, 3]), jnp.array([0.0, 0.5, 1.0]), None, ())
    np.testing.assert_allclose(softened.weights, [0.1, 0.55, 1.0], rtol=1e-6)
    np.testing.assert_allclose(softened.targets[:, 3], softened.weights)
    slope = jax.vmap(jax.grad(lambda v: objective.soften(jnp.array([3]), v[None], None, ()).weights[0]))
    np.testing.assert_allclose(slope(jnp.array([0.0, 1.0])), 0, atol=1e-6)
    assert CLASSIFICATION.describe(config) == "soft crop 0.3, cosine"


def test_a_module_that_is_not_there_is_named(config):
    config.imports = "my_method,no_such_module"
    with pytest.raises(UsageError, match=r"no_such_module can't be imported .* folder it is in must be on PYTHONPATH"):
        validate(config, num_devices=1)


def test_a_network_of_another_kind_is_told_what_it_must_be(monkeypatch):
    monkeypatch.setitem(MODELS, "plain", lambda **arguments: nnx.Linear(1, 10, rngs=arguments["rngs"]))
    with pytest.raises(UsageError, match=r"'plain' is a Linear. .* features\(images, key\) and a classifier"):
        models.create("plain", num_classes=10, channels=1)
