"""The methods of Table 3 on real images: they learn, predict, and eight devices train as one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.evals.ranking import auroc
from softaug_jax.tasks import CLASSIFICATION
from softaug_jax.tasks.class_objective import LOSSES
from softaug_jax.train import evaluation, setup, sharding
from softaug_jax.train.validate import validate
from tests.train.helpers import config, train

SMALL = dict(optimizer__learning_rate=0.05)
METHODS = {
    "sngp": dict(sngp__num_features=64, sngp__momentum=0.9, **SMALL),
    "duq": dict(duq__embedding_dim=16, duq__momentum=0.95, **SMALL),
    "ddu": SMALL,
}


def config_of(method, **fields):
    model = "wideresnet10_1" if method == "ddu" else "resnet8"
    return config("digits_baseline", f"epochs=3,method={method},model={model}", **METHODS[method], **fields)


@pytest.mark.parametrize("method", [m if m == "duq" else pytest.param(m, marks=pytest.mark.slow) for m in METHODS])
def test_it_learns_digits_and_predicts_them(method):
    chosen = config_of(method)
    parts, test = setup.build(chosen, 1437), sources.load("digits", "test")
    state, _ = train(chosen, parts.schedule.total_steps)
    predict = evaluation.jit_predict(parts.predict, parts.info, sharding.over(jax.devices()[:1]))
    logits = np.asarray(predict(state, jnp.asarray(test.images)))
    right = logits.argmax(-1) == test.labels
    assert right.mean() > 0.6, "of ten classes"
    assert auroc(jax.nn.softmax(logits).max(-1)[right], jax.nn.softmax(logits).max(-1)[~right]) > 0.6
    features = parts.features(state, jnp.zeros((2, 8, 8, 1)))
    assert features.shape == (2, 64)
    again = predict(state, jnp.asarray(test.images[::-1]))
    np.testing.assert_allclose(again[::-1], logits, rtol=1e-4, atol=1e-4)  # each image's row depends on it alone


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sngp", "duq"])
def test_one_device_and_eight_train_the_same_state(method):
    one, eight = (train(config_of(method), steps=2, devices=devices)[0] for devices in (1, 8))
    for name in ("params", "batch_stats", "memory"):
        pairs = zip(*(jax.tree.leaves(jax.device_get(getattr(state, name))) for state in (one, eight)), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_what_does_not_go_together_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setitem(LOSSES, "own", LOSSES["focal"])
    for chosen, words in (
        (config("digits_sa", "", model__head="duq"), "'duq' needs the fields of config.duq. Start from .* method=duq"),
        (config("digits_sa", "method=duq", augment__mix="mixup"), "augment.mix = 'mixup' does not go with DUQ"),
        (config("digits_sa", "method=duq", loss__focal_gamma=2.0), "Use --config.loss.focal_gamma=0"),
        (config("digits_sa", "method=duq", imports="tests", loss__name="own"), "loss.name = 'own' does not go with"),
        (config("digits_sa", "method=duq", duq__length_scale=0.0), "config.duq.length_scale = 0.0"),
        (config("digits_sa", "method=sngp", sngp__num_features=0), "config.sngp.num_features = 0"),
        (config("digits_sa", "method=sngp", model__spectral_bound=-1.0), "config.model.spectral_bound = -1.0"),
        (config("digits_sa", "", model__head="gp"), "config.model.head = 'gp'"),
        (config("simsiam", "dataset=digits", model__head="sngp"), "config.model.head = 'sngp'"),
    ):
        with pytest.raises(UsageError, match=words):
            validate(chosen, num_devices=1)
    with pytest.raises(UsageError, match="resnet8 has no leaky activations .* or set --config.ddu.sensitive=False"):
        setup.build(config("digits_sa", "method=ddu,model=resnet8"))


def test_spectral_norms_are_taken_of_the_size_that_the_network_sees():
    fields = dict(data__size_px=32, data__resize_px=36, sngp__num_features=8)
    chosen = config("imagenet_sa", "dataset=imagenette,model=resnet18,method=sngp,epochs=2", **fields)
    _, statistics = jax.eval_shape(setup.build(chosen).model.init, jax.random.key(0))
    assert statistics["stem"]["spectral"]["direction"].shape == (1, 32, 32, 3)


def test_methods_say_what_they_are():
    describe = lambda method: CLASSIFICATION.describe(config("cifar10_baseline", f"method={method}"))
    assert describe("sngp").endswith("hard targets, SNGP, spectral norm 6")
    assert describe("duq").endswith("hard targets, DUQ")
    assert describe("ddu").endswith("hard targets, DDU, spectral norm 3")
    assert describe("energy") == describe("none")
