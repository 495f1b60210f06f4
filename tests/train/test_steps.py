"""What the step hands to the network."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from softaug_jax.augment import Chain, Flip, Member
from softaug_jax.data.schedule import Schedule
from softaug_jax.models import Model
from softaug_jax.tasks.class_objective import ClassObjective
from softaug_jax.train import state, steps
from tests.train.helpers import config

OBJECTIVE = ClassObjective(config(), 10, Schedule(1437, 64, 2))


def network_of_noise() -> Model:
    """Its logits are random numbers of the key; its statistics are the key."""

    def train(params, stats, images, key):
        logits = params["scale"] * jax.random.normal(key, (images.shape[0], 10))
        return logits, {"key": jax.random.key_data(key)}

    init = lambda key: ({"scale": jnp.ones(())}, {"key": jnp.zeros(2, jnp.uint32)})
    return Model(init, train, lambda params, stats, images: jnp.zeros((images.shape[0], 10)))


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
