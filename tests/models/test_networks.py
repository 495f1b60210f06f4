"""Every network by name: its size, its dtypes, and what is random in it."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.models import efficientnet, pyramidnet, wide_resnet
from softaug_jax.models.stochastic import subkey

STOCHASTIC = {"pyramidnet20_a24", "pyramidnet272", "efficientnet_b0"}
# The deepest take seconds to trace, and have the blocks of PyramidNet-20 and ResNet-50.
TRACED = [name for name in models.MODELS if name not in ("pyramidnet272", "resnet101")]


def create(name, **kwargs):
    return models.create(name, **{"num_classes": 10, "channels": 3, "dtype": "float32", **kwargs})


def abstract(model, batch=2, size=32):
    params, stats = jax.eval_shape(model.init, jax.random.key(0))
    return params, stats, jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)


@pytest.mark.parametrize(
    ("name", "classes", "stem", "parameters"),
    [
        ("resnet8", 10, "cifar", 75_290),
        ("resnet20", 10, "cifar", 269_722),
        ("resnet18", 10, "cifar", 11_173_962),
        ("resnet18", 100, "cifar", 11_220_132),
        ("resnet50", 100, "cifar", 23_705_252),
        ("resnet101", 100, "cifar", 42_697_380),
        ("wideresnet28_10", 100, "cifar", 36_536_884),
        pytest.param("pyramidnet272", 100, "cifar", 26_288_692, marks=pytest.mark.slow),
        ("resnet18", 1000, "imagenet", 11_689_512),
        ("resnet50", 1000, "imagenet", 25_557_032),
        ("resnet101", 1000, "imagenet", 44_549_160),
        ("efficientnet_b0", 1000, "imagenet", 5_288_548),
    ],
)
def test_number_of_parameters(name, classes, stem, parameters):
    params, _, _ = abstract(create(name, num_classes=classes, stem=stem))
    assert sum(x.size for x in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize("name", TRACED)
def test_bfloat16_is_for_activations_alone_and_only_training_of_stochastic_networks_draws(name):
    model = create(name, dtype="bfloat16")
    params, stats, images = abstract(model)
    traced = jax.jit(model.train).trace(params, stats, images, jax.random.key(0))
    logits, moved = traced.out_info
    assert logits.shape == (2, 10)
    assert {x.dtype for x in jax.tree.leaves((params, stats, logits, moved))} == {jnp.dtype("float32")}
    assert jax.tree.map(lambda x: x.shape, moved) == jax.tree.map(lambda x: x.shape, stats)
    text = traced.lower().as_text()
    convolutions = re.findall(r"stablehlo\.convolution.*->\s*(tensor<\S+>)", text)
    assert convolutions
    assert all("bf16" in result for result in convolutions)
    draws = lambda text: "threefry" in text or "rng_bit" in text
    assert draws(text) == (name in STOCHASTIC)
    assert not draws(jax.jit(model.predict).lower(params, stats, images).as_text())


def test_training_is_a_function_of_the_key_and_evaluation_of_the_image_alone(rng, random_weights, monkeypatch):
    monkeypatch.setitem(models.MODELS, "small", partial(pyramidnet.PyramidNet, 11, 12))
    model = create("small")
    params, stats = random_weights(model)
    images = jnp.asarray(rng.normal(size=(4, 8, 8, 3)), jnp.float32)
    train = jax.jit(model.train)
    first, again, other = (train(params, stats, images, jax.random.key(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.abs(first - other).max(1) > 1e-3).all()
    predict = jax.jit(model.predict)
    others = images.at[2:].multiply(9.0)
    np.testing.assert_array_equal(predict(params, stats, images)[:2], predict(params, stats, others)[:2])


def record(monkeypatch, module, function, model):
    """The keys [layers] and probabilities that the network hands to `function` for its key 5."""
    keys, probabilities = [], []

    def recorder(x, probability, key, **kwargs):
        keys.append(key)
        probabilities.append(probability)
        return x

    monkeypatch.setattr(module, function, recorder)

    def keys_of(params, stats, images, key):
        model.train(params, stats, images, key)
        return jax.random.key_data(jnp.stack(keys))

    params, stats, images = abstract(model)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape), (params, stats, images))
    return np.asarray(jax.jit(keys_of)(*zeros, jax.random.key(5))), probabilities


def test_every_shake_drop_has_its_key_and_its_probability(monkeypatch):
    keys, probabilities = record(monkeypatch, pyramidnet, "shake_drop", create("pyramidnet20_a24"))
    expected = [jax.random.key_data(subkey(jax.random.key(5), i)) for i in range(6)]
    np.testing.assert_array_equal(keys, expected)
    assert len(np.unique(keys, axis=0)) == 6
    np.testing.assert_allclose(probabilities, [11 / 12, 10 / 12, 9 / 12, 8 / 12, 7 / 12, 0.5])


def test_every_dropped_layer_has_its_key_and_its_rate(monkeypatch):
    """The nine blocks with a residual, by their number among the 16; then dropout."""
    keys, rates = record(monkeypatch, efficientnet, "drop", create("efficientnet_b0"))
    assert len(np.unique(keys, axis=0)) == 10
    np.testing.assert_allclose(rates, [0.2 * i / 16 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)] + [0.2])


@pytest.mark.parametrize(
    ("name", "stem", "size", "expected"),
    [
        ("resnet50", "cifar", 32, [32, 16, 8, 4]),
        ("resnet50", "imagenet", 224, [112, 56, 28, 14, 7]),
        ("efficientnet_b0", "cifar", 32, [32, 16, 8, 4, 2]),
        ("efficientnet_b0", "imagenet", 224, [112, 56, 28, 14, 7]),
    ],
)
def test_resolutions_are_those_of_the_stem(name, stem, size, expected):
    """The sizes of all that convolutions give, in order; those of 1 pixel are squeeze and excitation."""
    model = create(name, stem=stem)
    text = str(jax.make_jaxpr(model.predict)(*abstract(model, size=size)))
    found = [int(s) for s in re.findall(r"f32\[2,(\d+),\d+,\d+\] = conv_general_dilated", text)]
    found = [s for s in found if s > 1]
    assert found == sorted(found, reverse=True)
    assert list(dict.fromkeys(found)) == expected


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UsageError, match="model = 'alexnet' is unknown. Choose from resnet8, .*efficientnet_b0"):
        create("alexnet")
    with pytest.raises(UsageError, match="model.dtype = 'int8' is unknown"):
        create("resnet8", dtype="int8")
    with pytest.raises(UsageError, match="model.stem = 'mnist' is unknown. Choose from cifar, imagenet"):
        create("resnet18", stem="mnist")


@pytest.mark.parametrize("name", sorted(set(models.MODELS) - set(models.WITH_IMAGENET_STEM)))
def test_networks_for_small_images_have_no_stem_for_large_ones(name):
    with pytest.raises(UsageError, match=f"model.stem = 'imagenet' is not offered by {name}, only by resnet18, "):
        create(name, stem="imagenet")


def test_depths_that_make_no_whole_stages_are_errors():
    with pytest.raises(ValueError, match="depth = 27 must be 6n \\+ 4"):
        wide_resnet.WideResNet(27, 1, num_classes=2, rngs=None)
    with pytest.raises(ValueError, match="depth = 10 must be 9n \\+ 2"):
        pyramidnet.PyramidNet(10, 24, num_classes=2, rngs=None)
