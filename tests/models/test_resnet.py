import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.checks import UsageError


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("resnet18", 100, 11_220_132), ("resnet18", 10, 11_173_962), ("resnet20", 10, 269_722), ("resnet8", 10, 75_290)],
)
def test_number_of_parameters(name, classes, parameters):
    model = models.create(name, num_classes=classes, channels=3)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    assert count(params) == parameters


def numpy_convolution(x, kernel, stride):
    """Zero-padded by (size - 1) / 2, with plain loops over the kernel."""
    size = kernel.shape[0]
    pad = (size - 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = (x.shape[1] - size) // stride + 1, (x.shape[2] - size) // stride + 1
    out = np.zeros((x.shape[0], rows, columns, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            out += x[:, i : i + stride * rows : stride, j : j + stride * columns : stride] @ kernel[i, j]
    return out


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_forward_pass_equals_numpy(name, rng):
    model = models.create(name, num_classes=10, channels=3, dtype="float32")
    params, stats = jax.jit(model.init)(jax.random.key(0))
    # Statistics and affine parameters away from their initial 0 and 1, so that each is seen to be used.
    noise = lambda x: np.asarray(x) + 0.1 * np.abs(rng.normal(size=x.shape)).astype(np.float32)
    params, stats = jax.tree.map(noise, params), jax.tree.map(noise, stats)
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)

    def norm(y, p, s):
        return (y - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]

    def conv_norm(y, conv, bn, p, s, stride):
        return norm(numpy_convolution(y, p[conv]["kernel"].astype(np.float64), stride), p[bn], s[bn])

    y = np.maximum(conv_norm(x.astype(np.float64), "stem", "stem_norm", params, stats, 1), 0)
    first_of_stage = {"resnet8": (1, 2), "resnet18": (2, 4, 6)}[name]
    for i in sorted(params["blocks"]):
        p, s, stride = params["blocks"][i], stats["blocks"][i], 2 if int(i) in first_of_stage else 1
        z = np.maximum(conv_norm(y, "conv1", "norm1", p, s, stride), 0)
        z = conv_norm(z, "conv2", "norm2", p, s, 1)
        if "shortcut_conv" in p:
            y = conv_norm(y, "shortcut_conv", "shortcut_norm", p, s, stride)
        elif stride == 2:
            half = y.shape[-1] // 2
            y = np.pad(y[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (half, half)))
        y = np.maximum(y + z, 0)
    expected = y.mean((1, 2)) @ params["classifier"]["kernel"] + params["classifier"]["bias"]
    np.testing.assert_allclose(jax.jit(model.predict)(params, stats, x), expected, rtol=1e-3, atol=1e-3)


def test_training_moves_the_statistics_and_prediction_does_not_depend_on_the_batch(rng):
    model = models.create("resnet8", num_classes=10, channels=1, dtype="float32")
    params, stats = jax.jit(model.init)(jax.random.key(0))
    x = jnp.asarray(3.0 + rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    logits, moved = jax.jit(model.train)(params, stats, x)
    assert logits.shape == (4, 10)
    stem = jax.lax.conv_general_dilated(
        x, params["stem"]["kernel"], (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(moved["stem_norm"]["mean"], 0.1 * stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    predict = jax.jit(model.predict)
    np.testing.assert_allclose(predict(params, moved, x)[:2], predict(params, moved, x[:2]), rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_parameters_statistics_and_logits_in_float32():
    model = models.create("resnet8", num_classes=10, channels=3, dtype="bfloat16")
    params, stats = jax.jit(model.init)(jax.random.key(0))
    logits, moved = jax.jit(model.train)(params, stats, jnp.ones((2, 8, 8, 3)))
    assert {x.dtype for x in jax.tree.leaves((params, stats, moved, logits))} == {jnp.dtype("float32")}
    text = jax.jit(model.train).lower(params, stats, jnp.ones((2, 8, 8, 3))).as_text()
    assert "bf16" in text


def test_convolutions_start_as_he_et_al_say():
    model = models.create("resnet18", num_classes=10, channels=3)
    params, _ = jax.jit(model.init)(jax.random.key(0))
    kernel = np.asarray(params["blocks"][5]["conv2"]["kernel"])
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * kernel.shape[3])), rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=1e-3)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UsageError, match="model = 'alexnet' is unknown. Choose from resnet8"):
        models.create("alexnet", num_classes=10, channels=3)
    with pytest.raises(UsageError, match="model.dtype = 'int8' is unknown"):
        models.create("resnet8", num_classes=10, channels=3, dtype="int8")
