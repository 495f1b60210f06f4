from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.models import resnet


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


SMALL = {
    "resnet8": resnet.resnet8,
    "projections": partial(resnet.ResNet, (2, 1), (8, 12)),
    "bottlenecks": partial(resnet.ResNet, (2, 1), (8, 12), resnet.Bottleneck),
}


@pytest.mark.parametrize("name", SMALL)
def test_forward_pass_equals_numpy(name, rng, random_weights, monkeypatch):
    monkeypatch.setitem(models.MODELS, name, SMALL[name])
    model = models.create(name, num_classes=10, channels=3, dtype="float32")
    params, stats = random_weights(model)
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)

    def norm(y, p, s):
        return (y - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]

    def conv_norm(y, conv, bn, p, s, stride):
        return norm(numpy_convolution(y, p[conv]["kernel"].astype(np.float64), stride), p[bn], s[bn])

    y = np.maximum(conv_norm(x.astype(np.float64), "stem", "stem_norm", params, stats, 1), 0)
    first_of_stage = (1, 2) if name == "resnet8" else (2,)
    for i in sorted(params["blocks"]):
        p, s, stride = params["blocks"][i], stats["blocks"][i], 2 if int(i) in first_of_stage else 1
        convolutions = 3 if "conv3" in p else 2
        z = y
        for j in range(1, convolutions + 1):
            z = conv_norm(z, f"conv{j}", f"norm{j}", p, s, stride if j == convolutions - 1 else 1)
            z = np.maximum(z, 0) if j < convolutions else z
        if "shortcut_conv" in p:
            y = conv_norm(y, "shortcut_conv", "shortcut_norm", p, s, stride)
        elif stride == 2:
            half = y.shape[-1] // 2
            y = np.pad(y[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (half, half)))
        y = np.maximum(y + z, 0)
    expected = y.mean((1, 2)) @ params["classifier"]["kernel"] + params["classifier"]["bias"]
    np.testing.assert_allclose(jax.jit(model.predict)(params, stats, x), expected, rtol=1e-3, atol=1e-3)


def test_training_moves_the_statistics_and_prediction_does_not_depend_on_the_batch(rng, random_weights):
    model = models.create("resnet8", num_classes=10, channels=1, dtype="float32")
    params, stats = random_weights(model)
    x = jnp.asarray(3.0 + rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    logits, moved = jax.jit(model.train)(params, stats, x, jax.random.key(1))
    assert logits.shape == (4, 10)
    stem = jax.lax.conv_general_dilated(
        x, params["stem"]["kernel"], (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        moved["stem_norm"]["mean"], 0.9 * stats["stem_norm"]["mean"] + 0.1 * stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    predict = jax.jit(model.predict)
    others = x.at[2:].multiply(9.0)
    np.testing.assert_array_equal(predict(params, moved, x)[:2], predict(params, moved, others)[:2])
