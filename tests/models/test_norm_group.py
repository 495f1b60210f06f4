"""BatchNorm over groups of examples, on several devices and in a whole network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import hlo
from softaug_jax import models
from softaug_jax.models.layers import BatchNorm, group_norms
from softaug_jax.train import sharding

IMAGES = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)


def normalize(graph, state, x):
    norm = nnx.merge(graph, state)
    return norm(x), norm.mean[...], norm.var[...]


@pytest.mark.parametrize("group", [2, 4])
def test_one_device_and_eight_give_the_same_whether_a_device_holds_a_group_or_half_of_one(group):
    graph, state = nnx.split(group_norms(BatchNorm(1, dtype=jnp.float32, rngs=nnx.Rngs(0)), group))
    results = []
    for devices in (1, 8):
        shardings = sharding.over(jax.devices()[:devices])
        x = jax.device_put(1.0 + IMAGES, shardings.batch)
        results.append(jax.jit(functools.partial(normalize, graph))(state, x))
    for one, eight in zip(*results, strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-5, atol=1e-5)


@functools.cache
def forward_of_a_network(norm_group):
    """Logits of a training pass over eight devices, and the compiled program's sums over them."""
    model = models.create("resnet8", num_classes=10, channels=1, dtype="float32", norm_group=norm_group)
    shardings = sharding.over(jax.devices()[:8])
    train = lambda params, stats, images: model.train(params, stats, images, jax.random.key(0))[0]
    replicated = shardings.replicated
    jitted = jax.jit(train, in_shardings=(replicated, replicated, shardings.batch), out_shardings=shardings.batch)
    arguments = (*model.init(jax.random.key(1)), IMAGES)
    compiled = jitted.lower(*arguments).compile()
    return compiled(*arguments), list(hlo.collectives(hlo.operations(compiled.as_text())))


@pytest.mark.slow
def test_groups_within_a_device_leave_a_network_nothing_to_wait_for():
    assert len(forward_of_a_network(0)[1]) >= 7  # layers of BatchNorm
    assert forward_of_a_network(2)[1] == []


@pytest.mark.slow
def test_groups_change_what_the_network_computes():
    assert np.abs(forward_of_a_network(0)[0] - forward_of_a_network(2)[0]).max() > 1e-2
