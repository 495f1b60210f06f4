import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from softaug_jax.models import layers
from softaug_jax.models.convolution import Linear, convolve

GEOMETRY = dict(window_strides=(2, 2), padding=((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))


def by_hand(x, kernel, groups):
    """The sum over windows, in float64: stride 2, a 3 x 3 kernel, one pixel of padding."""
    batch, height, width, channels = x.shape
    features = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((batch, (height + 1) // 2, (width + 1) // 2, features))
    for feature in range(features):
        first = feature // (features // groups) * (channels // groups)
        ours = slice(first, first + channels // groups)
        for row, column in np.ndindex(*out.shape[1:3]):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3, ours]
            out[:, row, column, feature] = np.sum(window * kernel[..., feature], axis=(1, 2, 3))
    return out


def gradient_by_hand(x, kernel, gradient, groups):
    """How the sum of output times `gradient` changes with each of the kernel's numbers; the convolution is linear."""
    by_kernel = np.zeros(kernel.shape)
    for place in np.ndindex(*kernel.shape):
        unit = np.zeros(kernel.shape)
        unit[place] = 1.0
        by_kernel[place] = np.sum(by_hand(x, unit, groups) * gradient)
    return by_kernel


@pytest.fixture(params=[1, 2], ids=["whole", "groups"])
def case(request, rng):
    """Images and gradient that bfloat16 holds exactly, a float32 kernel, and the number of groups."""
    short = lambda *shape: np.asarray(jnp.asarray(rng.normal(size=shape), jnp.bfloat16).astype(jnp.float32))
    kernel = rng.normal(size=(3, 3, 4 // request.param, 2)).astype(np.float32)
    return short(2, 5, 5, 4), kernel, short(2, 3, 3, 2), request.param


def test_the_output_is_the_convolution_with_the_rounded_kernel(case):
    x, kernel, _, groups = case
    y = convolve(jnp.asarray(x, jnp.bfloat16), kernel, feature_group_count=groups, **GEOMETRY)
    rounded = np.asarray(jnp.asarray(kernel, jnp.bfloat16).astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), by_hand(x, rounded, groups), rtol=2**-7, atol=0.02)


def test_the_kernels_gradient_is_float32_and_was_never_rounded_to_bfloat16(case):
    x, kernel, gradient, groups = case
    conv = lambda kernel: convolve(jnp.asarray(x, jnp.bfloat16), kernel, feature_group_count=groups, **GEOMETRY)
    (by_kernel,) = jax.vjp(conv, jnp.asarray(kernel))[1](jnp.asarray(gradient, jnp.bfloat16))
    expected = gradient_by_hand(x, kernel, gradient, groups)
    assert by_kernel.dtype == jnp.float32
    np.testing.assert_allclose(by_kernel, expected, rtol=1e-5, atol=1e-5)
    rounded = np.asarray(jnp.asarray(expected, jnp.bfloat16).astype(jnp.float32))
    assert np.abs(rounded - expected).max() > 1e-3  # what the comparison above would notice


def test_a_device_that_is_alone_takes_the_short_kernels_gradient(case, monkeypatch):
    x, kernel, gradient, groups = case
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    conv = lambda kernel: convolve(jnp.asarray(x, jnp.bfloat16), kernel, feature_group_count=groups, **GEOMETRY)
    (by_kernel,) = jax.vjp(conv, jnp.asarray(kernel))[1](jnp.asarray(gradient, jnp.bfloat16))
    assert by_kernel.dtype == jnp.float32
    np.testing.assert_array_equal(by_kernel, by_kernel.astype(jnp.bfloat16).astype(jnp.float32))


def test_the_images_gradient_is_that_of_jax_in_bfloat16(case):
    x, kernel, gradient, groups = case
    x, gradient = jnp.asarray(x, jnp.bfloat16), jnp.asarray(gradient, jnp.bfloat16)
    ours = lambda x: convolve(x, kernel, feature_group_count=groups, **GEOMETRY)
    rounded = jnp.asarray(kernel, jnp.bfloat16)
    plain = lambda x: jax.lax.conv_general_dilated(x, rounded, feature_group_count=groups, **GEOMETRY)
    (a,), (b,) = jax.vjp(ours, x)[1](gradient), jax.vjp(plain, x)[1](gradient)
    assert a.dtype == jnp.bfloat16
    np.testing.assert_array_equal(a.astype(jnp.float32), b.astype(jnp.float32))


def test_in_float32_it_is_flaxs_own(rng):
    ours = layers.conv(4, 6, 3, 2, bias=True, dtype=jnp.float32, rngs=nnx.Rngs(0))
    ours.bias.set_value(jnp.asarray(rng.normal(size=6), jnp.float32))
    x = jnp.asarray(rng.normal(size=(2, 5, 5, 4)), jnp.float32)
    np.testing.assert_array_equal(ours(x), nnx.Conv.__call__(ours, x))


def test_the_layers_result_has_its_dtype_with_the_bias_added_in_float32():
    ours = layers.conv(1, 1, 1, bias=True, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    ours.kernel.set_value(jnp.ones((1, 1, 1, 1)))
    ours.bias.set_value(jnp.full(1, 2**-8 + 2**-12))  # more than half of 1's last place in bfloat16
    y = ours(jnp.ones((1, 1, 1, 1)))
    assert (y.dtype, float(y[0, 0, 0, 0])) == (jnp.bfloat16, 1 + 2**-7)


def test_a_linear_layers_gradient_is_float32_and_was_never_rounded_to_bfloat16(rng):
    short = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.bfloat16)
    x, gradient = short(8, 5), short(8, 3)
    layer = Linear(5, 3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    graph, state = nnx.split(layer)
    y, pullback = jax.vjp(lambda state: nnx.merge(graph, state)(x), state)
    (grads,) = pullback(gradient)
    expected = np.asarray(x, np.float64).T @ np.asarray(gradient, np.float64)
    assert y.dtype == jnp.bfloat16 and grads["kernel"][...].dtype == jnp.float32
    np.testing.assert_allclose(grads["kernel"][...], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(y.astype(jnp.float32), nnx.Linear.__call__(layer, x).astype(jnp.float32))
