import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.tasks import CLASSIFICATION, SELF_SUPERVISED, task_of
from softaug_jax.train import setup
from softaug_jax.train.validate import validate
from tests.train.helpers import config

SMALL = dict(model__projection_dim=32, model__predictor_dim=8, batch_size=16)
CONFIGS = ["simsiam", "barlow_twins"]


def small(name="simsiam", arg="", **fields):
    return config(name, f"dataset=digits,model=resnet8,epochs=2{arg and ','}{arg}", **{**SMALL, **fields})


def test_the_task_is_known_by_the_config():
    assert task_of(small()) is SELF_SUPERVISED
    assert task_of(config()) is CLASSIFICATION


@pytest.mark.parametrize("name", CONFIGS)
def test_defaults_are_the_papers(name):
    chosen = config(name, "")
    assert (chosen.dataset, chosen.model.name, chosen.epochs, chosen.batch_size) == ("cifar10", "resnet18", 800, 512)
    rate = {"simsiam": 0.03, "barlow_twins": 0.01}[name]
    assert chosen.optimizer.learning_rate == pytest.approx(2 * rate)
    assert (chosen.optimizer.momentum, chosen.optimizer.nesterov, chosen.optimizer.weight_decay) == (0.9, False, 5e-4)
    assert (chosen.pairs.hypothesis, chosen.pairs.k, chosen.pairs.p_min) == ("none", 4.0, 0.0)
    assert (chosen.model.projector_layers, chosen.model.projection_dim) == ({"simsiam": 2}.get(name, 3), 2048)
    assert (chosen.evals.knn_k, chosen.evals.knn_temperature) == (200, 0.1)


def test_the_learning_rate_follows_the_batch():
    chosen = config("simsiam", "learning_rate=0.2")
    assert chosen.optimizer.learning_rate == pytest.approx(0.4)
    chosen.batch_size = 256
    assert chosen.optimizer.learning_rate == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pairs__hypothesis": "sa3"}, "config.pairs.hypothesis = 'sa3' is unknown. Choose from none, sa1, sa2"),
        ({"pairs__method": "byol"}, "config.pairs.method = 'byol' is unknown. Choose from simsiam, barlow_twins"),
        ({"pairs__p_min": 1.5}, "config.pairs.p_min = 1.5 must be at most 1"),
        ({"pairs__k": 0.0}, "config.pairs.k = 0.0 must be greater than 0"),
        ({"views__scale_min": 0.9, "views__scale_max": 0.5}, "config.views.scale_min = 0.9 must be at most 0.5"),
        ({"views__hue": 0.6}, "config.views.hue = 0.6 must be at most 0.5"),
        ({"evals__final": ("occlusion",)}, "config.evals.final = 'occlusion' is unknown. Choose from knn, probe"),
        ({"evals__knn_k": 5000}, "config.evals.knn_k = 5000 must be at most 1437"),
        ({"model__name": "resnet9"}, "config.model.name = 'resnet9' is unknown"),
        (
            {"views__scale_min": 1.0, "pairs__hypothesis": "sa2"},
            "config.views.scale_min = 1 makes both views .* nothing would be learnt. Use a smaller",
        ),
        ({"model__norm_group": 1}, "config.model.norm_group = 1 leaves BatchNorm a single vector.* Use at least 2"),
        ({"batch_size": 12}, "config.batch_size = 12 does not divide over 8 devices"),
    ],
)
def test_each_error_names_field_value_and_what_is_allowed(fields, words):
    with pytest.raises(UsageError, match=words):
        validate(small(**fields), num_devices=8)


def test_a_classifier_has_no_nearest_neighbours():
    with pytest.raises(UsageError, match="config.evals.final = 'knn' is unknown. Choose from classification"):
        validate(config(evals__final=("knn",)), num_devices=1)


@pytest.mark.parametrize(
    ("name", "arg"),
    [
        ("simsiam", ""),
        pytest.param("barlow_twins", "hypothesis=sa2,k=2,p_min=0.1", marks=pytest.mark.slow),
    ],
)
def test_variants_take_a_step(name, arg):
    chosen = small(name, arg)
    validate(chosen, num_devices=8)
    parts = setup.build(chosen)
    images, labels = np.arange(16 * 64, dtype=np.uint8).reshape(16, 8, 8, 1), np.arange(16)
    state = jax.jit(parts.initial_state)()
    new, sums = jax.jit(parts.step)(state, {"image": images, "label": labels})
    assert np.isfinite(sums.means["loss"])
    assert 0 < sums.means["iou"] < 1
    assert (sums.means["weight"] == 1) == (arg == "")
    assert sums.means["output_std"] > 0
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, new.params)
    assert all(jax.tree.leaves(moved))
    assert set(new.params) == {"backbone", "projector", *(["predictor"] if name == "simsiam" else [])}


def test_only_the_predictors_learning_rate_stays():
    chosen = small(optimizer__momentum=0.0, optimizer__weight_decay=0.0, optimizer__learning_rate=0.5)
    parts = setup.build(chosen)
    params = {"backbone": {"w": jnp.ones(2)}, "predictor": {"w": jnp.ones(2)}}
    grads, state = jax.tree.map(jnp.ones_like, params), parts.optimizer.init(params)
    for step in range(parts.schedule.total_steps):
        updates, state = parts.optimizer.update(grads, state, params)
        decayed = 0.5 * (1 + np.cos(np.pi * step / parts.schedule.total_steps)) / 2
        np.testing.assert_allclose(updates["predictor"]["w"], -0.5)
        np.testing.assert_allclose(updates["backbone"]["w"], -decayed, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "arg", "words"),
    [
        ("simsiam", "", "SimSiam, equal weights"),
        ("simsiam", "hypothesis=sa1", "SimSiam, SA#1 (k 4)"),
        ("barlow_twins", "hypothesis=sa2,k=2,p_min=0.1", "Barlow Twins, SA#2 (k 2, p_min 0.1)"),
    ],
)
def test_methods_have_names(name, arg, words):
    assert SELF_SUPERVISED.describe(small(name, arg)) == words


def test_collapse_is_told():
    chosen = small()
    even = 1 / np.sqrt(32)
    assert SELF_SUPERVISED.warning(chosen, {"output_std": 0.11 * even}) is None
    warning = SELF_SUPERVISED.warning(chosen, {"output_std": 0.09 * even})
    assert "collapsing" in warning and "--config.optimizer.learning_rate" in warning and "0.18" in warning
    assert SELF_SUPERVISED.warning(chosen, {}) is None
