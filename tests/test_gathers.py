"""Reading by index: what a TPU does instead of a gather gives the same, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import softaug_jax as sa
from softaug_jax import gathers
from softaug_jax.augment import RandAugment
from softaug_jax.crops import crop


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "uint8", "int8", "bool"])
@pytest.mark.parametrize("axis", [-3, -2])
def test_products_take_what_a_gather_takes(dtype, axis, rng):
    images = jnp.asarray(rng.normal(0, 50, (2, 3, 7, 5, 3)), jnp.float32).astype(dtype)
    length = images.shape[axis]
    source = jnp.asarray(rng.integers(0, length, (2, 3, length)), jnp.int32)
    ours = gathers.take_by_products(images, source, axis)
    assert ours.dtype == images.dtype
    np.testing.assert_array_equal(ours, gathers.take_by_gather(images, source, axis))


def test_three_roundings_to_bfloat16_hold_a_float32(rng):
    """What a TPU makes of a factor at the highest precision, so that a product with one is the number itself."""
    x = jnp.asarray(np.concatenate([rng.normal(0, 10.0**power, 1000) for power in range(-6, 7)]), jnp.float32)
    rest, total = x, jnp.zeros_like(x)
    for _ in range(3):
        part = rest.astype(jnp.bfloat16).astype(jnp.float32)
        rest, total = rest - part, total + part
    np.testing.assert_array_equal(total, x)


def test_choosing_looks_up_what_a_gather_looks_up(rng):
    table = jnp.asarray(rng.integers(0, 256, (3, 256)), jnp.int32)
    index = jnp.asarray(np.stack([rng.permutation(256) for _ in range(3)]), jnp.int32)
    np.testing.assert_array_equal(gathers.look_up_by_choice(table, index), gathers.look_up_by_gather(table, index))


def test_products_read_the_pixels_that_a_gather_reads(rng):
    words = jnp.asarray(rng.integers(0, 2**24, (2, 6, 9)), jnp.int32)
    y, x = (jnp.asarray(rng.integers(0, side, (2, 54)), jnp.int32) for side in (6, 9))
    ours = gathers.pixels_by_products(words, y, x)
    np.testing.assert_array_equal(ours, gathers.pixels_by_gather(words, y, x))
    np.testing.assert_array_equal(ours[1, 5], words[1, y[1, 5], x[1, 5]])


def test_a_tpu_gathers_no_pixels():
    """Its program for crop and policy has gathers for settings of an image alone; other devices gather pixels."""
    images, key = jnp.zeros((16, 32, 32, 3), jnp.uint8), jax.random.key(0)
    policy = RandAugment()
    draws = policy.sample(key, 16, (32, 32))
    programs = {
        "crop": jax.jit(crop).trace(images, jnp.zeros((16, 2), jnp.int32)),
        "policy": jax.jit(policy.apply).trace(images, draws),
    }
    for name, traced in programs.items():
        most = {platform: _largest_gather(traced, platform) for platform in ("cpu", "cuda", "tpu")}
        assert most["cpu"] == most["cuda"] >= 16 * 32 * 32, (name, most)
        assert most["tpu"] <= 16 * 3 * 32, (name, most)


def _largest_gather(traced, platform):
    """Numbers in the result of the program's largest gather."""
    lines = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
    shapes = [line.rsplit("tensor<", 1)[1].split("x")[:-1] for line in lines if '"stablehlo.gather"' in line]
    return max((int(np.prod([int(side) for side in shape])) for shape in shapes), default=0)


def test_core_and_policies_run_under_a_mesh_of_explicit_axes(rng):
    """As `jax.make_mesh` makes it: images are split over devices, and what is drawn under jit is not."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    images, labels = rng.integers(0, 256, (16, 8, 8, 3), np.uint8), rng.integers(0, 10, 16)

    def run(images, labels):
        offsets = sa.sample_offsets(jax.random.key(0), (16,), size=(8, 8))
        policy = RandAugment()
        images, _ = policy.apply(images, policy.sample(jax.random.key(1), 16, (8, 8)))
        cropped = sa.crop(images, offsets)
        targets, weights = sa.soften(labels, sa.crop_visibility(offsets, (8, 8)), num_classes=10)
        logits = cropped.astype(jnp.float32).mean((1, 2)) @ jnp.eye(3, 10)
        losses = sa.soft_cross_entropy(logits, targets, weights)
        return cropped, losses, sa.calibration_bins(jax.nn.softmax(logits), labels)

    alone = jax.jit(run)(images, labels)
    split = jax.device_put((images, labels), NamedSharding(mesh, PartitionSpec("data")))
    jax.tree.map(np.testing.assert_array_equal, jax.jit(run)(*split), alone)
