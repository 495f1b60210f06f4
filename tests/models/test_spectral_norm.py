"""The bound on a convolution's norm, against the singular values of the convolution written out as a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from softaug_jax import models
from softaug_jax.models.layers import conv
from softaug_jax.models.spectral_norm import SpectralNorm, spectral_norms


class OneConv(nnx.Module):
    """As much of a network as the bound asks for."""

    def __init__(self, *, stride, groups, size, dtype=jnp.float32, rngs):
        self.conv = conv(4, 6, size, stride, groups=groups, dtype=dtype, rngs=rngs)

    def features(self, images):
        return self.conv(images)


def matrix(kernel, image_shape, stride, groups):
    """The convolution as a matrix [H' W' C', H W C], by loops; padding as `layers.conv` has it."""
    (height, width, channels), (size, _, per_group, outputs) = image_shape, kernel.shape
    pad = (size - 1) // 2
    rows, columns = -(-height // stride), -(-width // stride)
    result = np.zeros((rows, columns, outputs, height, width, channels))
    for row, column, output, i, j, c in np.ndindex(rows, columns, outputs, size, size, per_group):
        y, x = row * stride + i - pad, column * stride + j - pad
        if 0 <= y < height and 0 <= x < width:
            first = output // (outputs // groups) * per_group
            result[row, column, output, y, x, first + c] += kernel[i, j, c, output]
    return result.reshape(rows * columns * outputs, -1)


@pytest.mark.parametrize(("stride", "groups", "size"), [(1, 1, 3), (2, 1, 3), (2, 2, 1)])
def test_the_norm_of_the_strided_convolution_is_the_bound(stride, groups, size):
    rngs, shape = nnx.Rngs(0), (5, 6, 4)
    network = OneConv(stride=stride, groups=groups, size=size, rngs=rngs)
    kernel = np.asarray(network.conv.kernel[...])
    largest = np.linalg.svd(matrix(kernel, shape, stride, groups), compute_uv=False)[0]
    for bound in (0.5 * largest, 2.0 * largest):
        spectral_norms(network, bound, image_shape=shape, rngs=rngs)
        graph, state = nnx.split(network)

        @jax.jit
        def step(state, graph=graph):
            module = nnx.merge(graph, state)
            module.features(jnp.zeros((2, *shape)))
            return nnx.state(module)

        for _ in range(60):
            state = step(state)
        module = nnx.view(nnx.merge(graph, state), use_running_average=True)
        image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        expected = matrix(kernel, shape, stride, groups) @ image.ravel() * min(1.0, bound / largest)
        np.testing.assert_allclose(module.features(image).ravel(), expected, rtol=1e-3, atol=1e-4)


def test_the_gradient_takes_the_direction_as_constant(rng):
    norm, geometry = SpectralNorm(1.0), dict(window_strides=(1, 1), padding=((1, 1), (1, 1)))
    geometry["dimension_numbers"] = ("NHWC", "HWIO", "NHWC")
    kernel = rng.normal(size=(3, 3, 2, 2)).astype(np.float32)
    towards = rng.normal(size=kernel.shape)
    norm(kernel, (4, 4, 2), **geometry)
    norm.start(jax.random.key(0))
    norm.set_view(use_running_average=True)
    v = np.asarray(norm.direction[...], np.float64).ravel()

    def by_hand(kernel):
        return np.sum(towards * kernel) / np.linalg.norm(matrix(kernel, (4, 4, 2), 1, 1) @ v)

    gradient = jax.grad(lambda k: jnp.sum(jnp.float32(towards) * norm(k, (4, 4, 2), **geometry)))(kernel)
    for index in [(0, 0, 0, 0), (1, 2, 1, 0), (2, 1, 0, 1)]:
        step = np.zeros(kernel.shape)
        step[index] = 1e-5
        finite = (by_hand(kernel + step) - by_hand(kernel - step)) / 2e-5
        np.testing.assert_allclose(gradient[index], finite, rtol=1e-3, atol=1e-4)


def test_a_network_keeps_its_weights_and_learns_the_directions_in_training_alone():
    def build(bound):
        change = lambda network, rngs: spectral_norms(network, bound, image_shape=(8, 8, 1), rngs=rngs)
        return models.create("wideresnet10_1", num_classes=3, channels=1, dtype="bfloat16", change=change)

    bounded = build(0.5)
    params, stats = jax.jit(bounded.init)(jax.random.key(0))
    names = lambda tree: [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    plain_params, plain_stats = jax.eval_shape(build(0.0).init, jax.random.key(0))
    assert names(plain_params) == names(params)
    assert names(plain_stats) == [name for name in names(stats) if "spectral" not in name]
    shapes = [x["spectral"]["direction"].shape for x in (stats["stem"], stats["blocks"][1]["conv2"])]
    assert shapes == [(1, 8, 8, 1), (1, 4, 4, 32)]
    logits, moved = jax.jit(bounded.train)(params, stats, jnp.ones((2, 8, 8, 1)), jax.random.key(1))
    assert np.isfinite(logits).all()
    before, after = (x["stem"]["spectral"]["direction"] for x in (stats, moved))
    assert np.abs(before - after).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(after), 1.0, rtol=1e-5)
