"""Siamese networks: what they are made of, what happens to each view, and that devices change nothing."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.models import efficientnet, pyramidnet, resnet, siamese, weights
from softaug_jax.models.stochastic import subkey
from softaug_jax.train import sharding

FEATURES = {
    "resnet8": 64,
    "resnet18": 512,
    "resnet20": 64,
    "resnet50": 2048,
    "resnet101": 2048,
    "wideresnet10_1": 64,
    "wideresnet28_10": 640,
    "pyramidnet20_a24": 4 * (16 + 24),
    "pyramidnet272": 4 * (16 + 200),
    "efficientnet_b0": 1280,
}
DEEPEST = ("resnet101", "pyramidnet272")  # they take seconds to trace, and have the blocks of others


def create(name="small", **kwargs):
    given = {"method": "simsiam", "channels": 3, "dtype": "float32", "projection_dim": 24, "predictor_dim": 6}
    return siamese.create(name, **{**given, **kwargs})


def abstract(model):
    params, stats = jax.eval_shape(model.init, jax.random.key(0))
    return params, stats, jax.ShapeDtypeStruct((2, 2, 32, 32, 3), jnp.float32)


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))


@pytest.fixture
def small(monkeypatch):
    """A backbone of two blocks, with 8 features."""
    monkeypatch.setitem(models.MODELS, "small", partial(resnet.ResNet, (1, 1), (4, 8)))


@pytest.fixture
def views(rng):
    """Eight pairs of images of 8 pixels, the second view brighter than the first."""
    return jnp.asarray(rng.normal(size=(8, 2, 8, 8, 3)) + [[[[[0.0]]], [[[0.5]]]]], jnp.float32)


def test_every_network_is_tried():
    assert set(FEATURES) == set(models.MODELS)


@pytest.mark.parametrize("name", [n if n not in DEEPEST else pytest.param(n, marks=pytest.mark.slow) for n in FEATURES])
def test_every_backbone_gives_features_and_has_no_classifier(name):
    model = create(name)
    params, stats, views = abstract(model)
    assert set(params) == {"backbone", "projector", "predictor"}
    paths, _ = jax.tree_util.tree_flatten_with_path((params, stats))
    assert not any("classifier" in jax.tree_util.keystr(path) for path, _ in paths)
    assert params["projector"]["linears"][0]["kernel"].shape == (FEATURES[name], 24)
    features = jax.eval_shape(lambda p, s, x: model.predict(p, s, x[:, 0]), params, stats, views)
    assert (features.shape, features.dtype) == ((2, FEATURES[name]), jnp.float32)
    if name not in DEEPEST:
        embeddings, moved = jax.eval_shape(model.train, params, stats, views, jax.random.key(0))
        assert embeddings.projections.shape == embeddings.predictions.shape == (2, 2, 24)
        assert moved == stats


def test_number_of_parameters():
    """On ResNet-18, whose 11,173,962 for 10 classes are 10 * 513 fewer without the classifier; by hand."""
    norm = 2 * 2048
    params, _, _ = abstract(create("resnet18", projection_dim=2048, predictor_dim=512))
    assert count(params["backbone"]) == 11_173_962 - 5_130 == 11_168_832
    assert count(params["projector"]) == 512 * 2048 + norm + 2048 * 2048 == 5_246_976
    assert count(params["predictor"]) == 2048 * 512 + 2 * 512 + (512 + 1) * 2048 == 2_100_224
    params, _, _ = abstract(create("resnet18", method="barlow_twins", projector_layers=3, projection_dim=2048))
    assert set(params) == {"backbone", "projector"}
    assert count(params["projector"]) == 512 * 2048 + norm + 2048 * 2048 + norm + 2048 * 2048 == 9_445_376


def test_features_are_what_the_classifier_of_the_same_weights_is_given(rng, small, random_weights):
    model, classifier = create(), models.create("small", num_classes=5, channels=3, dtype="float32")
    params, stats = random_weights(model)
    images = rng.normal(size=(3, 8, 8, 3)).astype(np.float32)
    linear = {"kernel": rng.normal(size=(8, 5)).astype(np.float32), "bias": rng.normal(size=5).astype(np.float32)}
    logits = classifier.predict({**params["backbone"], "classifier": linear}, stats["backbone"], images)
    features = model.predict(params, stats, images)
    np.testing.assert_allclose(np.asarray(features) @ linear["kernel"] + linear["bias"], logits, rtol=1e-4, atol=1e-5)


def normalised(x, params=None):
    y = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    return y if params is None else y * params["scale"] + params["bias"]


@pytest.mark.parametrize("last", ["norm", "bias", "bare"])
def test_layers_are_linear_norm_relu_and_the_last_as_it_says(rng, last):
    arguments = {"norm": {"norm_last": True}, "bias": {"bias_last": True}, "bare": {}}[last]
    mlp = siamese.MLP((4, 6, 5, 3), **arguments, dtype=jnp.float32, rngs=nnx.Rngs(0))
    graph, state, rest = nnx.split(mlp, nnx.Param, ...)
    p = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), nnx.to_pure_dict(state))
    x = rng.normal(size=(32, 4)).astype(np.float32)
    expected = x
    for i in range(2):
        expected = np.maximum(0, normalised(expected @ p["linears"][i]["kernel"], p["norms"][i]))
    expected = expected @ p["last"]["kernel"]
    expected = {"norm": normalised(expected), "bias": expected + p["last"].get("bias", 0), "bare": expected}[last]
    np.testing.assert_allclose(nnx.merge(graph, p, rest)(x), expected, rtol=1e-3, atol=1e-4)
    assert ("bias" in p["last"]) == (last == "bias")


def test_each_view_is_normalised_by_itself(small, random_weights, views):
    model = create()
    params, stats = random_weights(model)
    train = jax.jit(lambda views: model.train(params, stats, views, jax.random.key(0))[0])
    both, swapped, other = train(views), train(views[:, ::-1]), train(views.at[:, 1].set(views[::-1, 1] ** 2))
    for ours, theirs, changed in zip(both, swapped, other, strict=True):
        np.testing.assert_allclose(ours, theirs[:, ::-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours[:, 0], changed[:, 0], rtol=1e-4, atol=1e-5)
        assert np.abs(ours[:, 1] - changed[:, 1]).max() > 0.1
    # Of each view the projector's last BatchNorm leaves mean 0 and, but for dimensions that hardly vary, deviation 1.
    np.testing.assert_allclose(both.projections.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(both.projections.std(0), 1, atol=0.01)


def test_statistics_move_twice_a_step_in_the_order_of_the_views(small, random_weights, views):
    model = create()
    params, stats = random_weights(model)
    _, moved = model.train(params, stats, views, jax.random.key(0))
    padded = np.pad(views, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    stem = np.einsum("bvhwcij,ijco->vbhwo", patches, params["backbone"]["stem"]["kernel"])
    running = stats["backbone"]["stem_norm"]
    mean, var = running["mean"], running["var"]
    for view in range(2):
        mean = 0.9 * mean + 0.1 * stem[view].mean((0, 1, 2))
        var = 0.9 * var + 0.1 * stem[view].var((0, 1, 2))
    np.testing.assert_allclose(moved["backbone"]["stem_norm"]["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved["backbone"]["stem_norm"]["var"], var, rtol=1e-4)
    for before, after in zip(jax.tree.leaves(stats), jax.tree.leaves(moved), strict=True):
        assert (before != after).any()


def test_prediction_is_of_each_image_alone_and_uses_the_backbone_alone(small, random_weights, views):
    model = create()
    params, stats = random_weights(model)
    predict, images = jax.jit(model.predict), views[:, 0]
    features = predict(params, stats, images)
    others = predict(params, stats, images.at[3:].multiply(9.0))
    np.testing.assert_array_equal(features[:3], others[:3])
    assert (features[3:] != others[3:]).any(1).all()
    np.testing.assert_allclose(predict(params, stats, images[2:3]), features[2:3], rtol=1e-5, atol=1e-6)
    heads = {**params, "projector": jax.tree.map(jnp.zeros_like, params["projector"])}
    np.testing.assert_array_equal(predict(heads, stats, images), features)


def test_bfloat16_is_for_activations_alone(small):
    model = create(dtype="bfloat16")
    params, stats, views = abstract(model)
    traced = jax.jit(model.train).trace(params, stats, views, jax.random.key(0))
    assert {x.dtype for x in jax.tree.leaves((params, stats, traced.out_info))} == {jnp.dtype("float32")}
    products = re.findall(r"stablehlo\.dot_general.*->\s*tensor<(\S+)>", traced.lower().as_text())
    # Of each view: the projector's hidden layer and its last, the predictor's hidden layer and its last.
    assert sorted(products) == sorted(2 * ["2x24xbf16", "2x24xf32", "2x6xbf16", "2x24xf32"])


def forward(model, devices, params, stats, batches):
    """The embeddings of a few steps that share running statistics, and these, with the batch split over devices."""
    shardings = sharding.over(jax.devices()[:devices])
    whole, split = shardings.replicated, shardings.batch
    train = jax.jit(model.train, in_shardings=(whole, whole, split, whole), out_shardings=(split, whole))
    outputs = []
    for views in batches:
        embeddings, stats = train(params, stats, views, jax.random.key(0))
        outputs.append(embeddings)
    return outputs, stats


@pytest.mark.parametrize("method", siamese.METHODS)
def test_eight_devices_are_one(method, small, random_weights, views):
    model = create(method=method)
    params, stats = random_weights(model)
    batches = [views, views[:, ::-1], 2.0 * views + 1.0]
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, *(forward(model, devices, params, stats, batches) for devices in (1, 8)))


def test_seeds_at_once_are_seeds_one_by_one(small, random_weights, views):
    model = create(method="barlow_twins", projector_layers=1)
    seeds = [random_weights(model) for _ in range(2)]
    run = jax.jit(lambda weights: model.train(*weights, views, jax.random.key(1)))
    together = jax.jit(jax.vmap(run))(jax.tree.map(lambda *x: np.stack(x), *seeds))
    apart = jax.tree.map(lambda *x: np.stack(x), *map(run, seeds))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), together, apart)


def test_each_view_has_a_key_of_its_own(monkeypatch):
    keys = []
    monkeypatch.setattr(pyramidnet, "shake_drop", lambda x, probability, key: keys.append(key) or x)
    model = create("pyramidnet20_a24")

    def keys_of(params, stats, views, key):
        model.train(params, stats, views, key)
        return jax.random.key_data(jnp.stack(keys))

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape), abstract(model))
    drawn = jax.jit(keys_of)(*zeros, jax.random.key(5))
    of_view = lambda view, block: jax.random.key_data(subkey(subkey(jax.random.key(5), view), block))
    np.testing.assert_array_equal(drawn, [of_view(view, block) for view in range(2) for block in range(6)])
    assert len(np.unique(drawn, axis=0)) == 12


def test_dropout_goes_with_the_classifier(monkeypatch):
    """EfficientNet-B0 drops nine residuals, each of both views, and no features."""
    dropped = []
    monkeypatch.setattr(efficientnet, "drop", lambda x, rate, key, **kwargs: dropped.append((x.ndim, kwargs)) or x)
    model = create("efficientnet_b0")
    jax.eval_shape(model.train, *abstract(model), jax.random.key(0))
    assert dropped == 18 * [(4, {"whole_images": True})]


def test_weights_are_saved_and_loaded(tmp_path, small, random_weights):
    params, stats = random_weights(create())
    weights.save(tmp_path / "siamese.npz", params, stats)
    jax.tree.map(np.testing.assert_array_equal, weights.load(tmp_path / "siamese.npz", create()), (params, stats))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "alexnet"}, UsageError, "model = 'alexnet' is unknown. Choose from resnet8, "),
        ({"method": "byol"}, UsageError, "method = 'byol' is unknown. Choose from simsiam, barlow_twins."),
        ({"dtype": "int8"}, UsageError, "model.dtype = 'int8' is unknown"),
        ({"stem": "imagenet"}, UsageError, "model.stem = 'imagenet' is not offered by resnet8, only by resnet18, "),
        ({"projector_layers": 0}, ValueError, "projector_layers = 0 must be at least 1."),
        ({"projection_dim": 2.5}, ValueError, "projection_dim = 2.5 must be a whole number, at least 1."),
        ({"predictor_dim": 0}, ValueError, "predictor_dim = 0 must be at least 1."),
    ],
)
def test_mistakes_are_named(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        create(**{"name": "resnet8", **arguments})


@pytest.mark.parametrize("shape", [(8, 8, 8, 3), (4, 3, 8, 8, 3)])
def test_views_are_two_an_image(small, random_weights, shape):
    model = create()
    with pytest.raises(ValueError, match=re.escape(f"views have shape {shape}; they must be [B, 2, H, W, C]")):
        model.train(*random_weights(model), jnp.zeros(shape), jax.random.key(0))
