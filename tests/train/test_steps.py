"""What the step hands to the network."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from softaug_jax.augment import Chain, Flip, Member
from softaug_jax.data.schedule import Schedule
from softaug_jax.models import Model
from softaug_jax.tasks.class_objective import ClassObjective
from softaug_jax.train import setup, state, steps
from tests.train.helpers import config

OBJECTIVE = ClassObjective(config(), 10, Schedule(1437, 64, 2))


def network_of_noise() -> Model:
    """Its logits are random numbers of the key; its statistics are the key."""

    def train(params, stats, images, key):
        logits = params["scale"] * jax.random.normal(key, (images.shape[0], 10))
        return logits, {"key": jax.random.key_data(key)}

    init = lambda key: ({"scale": jnp.ones(())}, {"key": jnp.zeros(2, jnp.uint32)})
    zeros = lambda params, stats, images: jnp.zeros((images.shape[0], 10))
    return Model(init, train, predict=zeros, features=zeros)


def test_the_networks_key_is_of_the_step_and_of_no_draw():
    model, chain = network_of_noise(), Chain((Member("flip", Flip()),))
    optimizer = optax.sgd(0.1)
    step = jax.jit(steps.train_step(model, chain, OBJECTIVE, optimizer))
    batch = {"image": jnp.zeros((4, 8, 8, 1), jnp.uint8), "label": jnp.arange(4)}
    current = state.create(model, optimizer, OBJECTIVE.initial_memory, 3)
    keys = []
    for number in range(3):
        step_key = jax.random.fold_in(state.base_key(3), number)
        drawn = jax.random.fold_in(step_key, zlib.crc32(b"flip"))
        current, _ = step(current, batch)
        key = np.asarray(current.batch_stats["key"])
        expected = jax.random.fold_in(step_key, zlib.crc32(b"network"))
        np.testing.assert_array_equal(key, jax.random.key_data(expected))
        assert (key != jax.random.key_data(drawn)).any()
        keys.append(tuple(key.tolist()))
    assert len(set(keys)) == 3


def test_the_same_state_gives_the_same_step():
    model, optimizer = network_of_noise(), optax.sgd(0.1)
    step = jax.jit(steps.train_step(model, Chain(()), OBJECTIVE, optimizer))
    batch = {"image": jnp.zeros((4, 8, 8, 1), jnp.uint8), "label": jnp.arange(4)}
    first = state.create(model, optimizer, OBJECTIVE.initial_memory, 3)
    (new, sums), (again, same) = step(first, batch), step(first, batch)
    assert (sums.means, float(new.params["scale"])) == (same.means, float(again.params["scale"]))
    assert step(new, batch)[1].means["loss"] != sums.means["loss"]


def test_a_gradient_that_is_not_finite_makes_the_next_step_bad_though_its_loss_is_finite():
    """The logits are sqrt(scale) of the images: at 0 the loss is log(10), and the gradient infinite."""
    train = lambda params, stats, images, key: (jnp.sqrt(params["scale"]) * images.mean((1, 2)), stats)
    init = lambda key: ({"scale": jnp.zeros((1, 10))}, {})
    model, optimizer = Model(init, train, *[lambda params, stats, images: images] * 2), optax.sgd(0.1)
    step = jax.jit(steps.train_step(model, Chain(()), OBJECTIVE, optimizer))
    batch = {"image": jnp.full((4, 8, 8, 1), 255, jnp.uint8), "label": jnp.arange(4)}
    current = state.create(model, optimizer, OBJECTIVE.initial_memory, 3)._replace(step=jnp.int32(7))
    new, sums = step(current, batch)
    np.testing.assert_allclose(sums.means["loss"], np.log(10), rtol=1e-5)
    assert not np.isfinite(new.params["scale"]).all()
    assert sums.first_bad_step == steps.NO_STEP
    assert step(new, batch)[1].first_bad_step == 8
    _, sums = step(current._replace(params={"scale": jnp.ones((1, 10))}), batch)
    assert sums.first_bad_step == steps.NO_STEP


def test_the_first_bad_step_of_several_is_the_smallest():
    sums = lambda bad: steps.StepSums({"loss": np.ones(())}, np.ones(()), np.array(bad, np.int32))
    total = sums(steps.NO_STEP).plus(sums(9)).plus(sums(4)).plus(sums(steps.NO_STEP))
    assert (total.first_bad_step, total.examples) == (4, 4)


@pytest.mark.parametrize(("name", "arg"), [("digits_sa", "model=resnet8"), ("simsiam", "dataset=digits,model=resnet8")])
def test_augmentation_has_its_scope_in_the_compiled_step(name, arg):
    parts = setup.build(config(name, arg))
    batch = {"image": jax.ShapeDtypeStruct((8, 8, 8, 1), jnp.uint8), "label": jax.ShapeDtypeStruct((8,), jnp.int32)}
    text = jax.jit(parts.step).lower(jax.eval_shape(parts.initial_state), batch).as_text(debug_info=True)
    assert "/augment/draw/" in text
    assert "/augment/crop/" in text
