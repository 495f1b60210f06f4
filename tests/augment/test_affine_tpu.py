"""The TPU's kernel, run by JAX's interpreter of such kernels: it reads the pixels that the gather reads."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import target
from softaug_jax.augment import affine, affine_tpu
from softaug_jax.augment.magnitudes import OPERATIONS, randaugment_space, trivialaugment_space
from softaug_jax.train import sharding

ONE = sharding.over(jax.devices()[:1]).batch
# Not operation by operation, each of which would be compiled:
gather = jax.jit(affine.resample)
interpret = jax.jit(partial(affine_tpu.resample, split=ONE, interpret=True))


def drawn(rng, size, space, operations):
    """Words and the coefficients of operations at random magnitudes and signs."""
    table = affine.coefficients(space, size)
    magnitude, sign = rng.integers(0, 31, len(operations)), rng.integers(0, 2, len(operations))
    words = rng.integers(0, 2**24, (len(operations), *size))
    return jnp.asarray(words, jnp.int32), jnp.asarray(table[operations, magnitude, sign])


@pytest.mark.parametrize("size", [(8, 8), (19, 300), (130, 45)])
def test_it_reads_what_a_gather_reads(size, rng):
    geometric = [OPERATIONS.index(name) for name in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")]
    words, coefficients = drawn(rng, size, trivialaugment_space(31), [0, *geometric, *geometric])
    ours = interpret(words, coefficients)
    np.testing.assert_array_equal(ours, gather(words, coefficients))
    assert (ours[1:] != words[1:]).any()


def test_images_of_imagenets_size(rng):
    space = randaugment_space(31, (224, 224))
    words, coefficients = drawn(rng, (224, 224), space, [OPERATIONS.index("Rotate"), OPERATIONS.index("ShearY")])
    ours = interpret(words, coefficients)
    np.testing.assert_array_equal(ours, gather(words, coefficients))


def test_each_device_takes_its_own_images(rng):
    words, coefficients = drawn(rng, (8, 8), trivialaugment_space(31), [OPERATIONS.index("Rotate")] * 16)
    eight = sharding.over().batch
    split = jax.device_put((words, coefficients), eight)
    apply = jax.jit(partial(affine_tpu.resample, split=eight, interpret=True)).lower(*split).compile()
    ours = apply(*split)
    np.testing.assert_array_equal(ours, gather(words, coefficients))
    assert ours.sharding.is_equivalent_to(eight, 3)
    assert "all-" not in apply.as_text() and "collective" not in apply.as_text()


def test_it_is_for_the_large_images_of_a_tpus_training_step():
    trace = lambda side: jax.make_jaxpr(lambda *arrays: affine.resample(*arrays))(*shapes(side))  # never a cached one
    shapes = lambda side: (jax.ShapeDtypeStruct((2, side, side), jnp.int32), jax.ShapeDtypeStruct((2, 6), jnp.int32))
    with mock.patch.object(affine_tpu, "resample", wraps=affine_tpu.resample) as kernel:
        with target.compiling_for("tpu", 1):
            trace(65)
            with target.splitting(ONE):
                trace(64)
                assert kernel.call_count == 0
                trace(513)
                assert kernel.call_count == 0
                trace(65)
                assert kernel.call_count == 1
        with target.splitting(ONE):
            trace(65)
        assert kernel.call_count == 1
