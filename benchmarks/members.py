"""Several members of an ensemble, alike but for their seeds, trained at once on one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.training import Training, parts_of
from softaug_jax.checks import check_choice
from softaug_jax.data import device
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.sources import Arrays
from softaug_jax.train import feed, state
from softaug_jax.train.setup import Parts
from softaug_jax.train.steps import StepSums
from softaug_jax.train.validate import validate

WAYS = ("vmap", "map")


class MembersFeed:
    """The device loader for a state with a leading axis of members, each with its own order and draws.

    "vmap" runs the members' operations side by side, convolutions as grouped ones; "map" runs one member after
    another within a dispatch, which saves no more than dispatches.
    """

    def __init__(self, parts: Parts, arrays: Arrays, steps_per_dispatch: int, way: str):
        check_choice("way", way, WAYS)
        self._schedule, self._many = parts.schedule, feed.steps_of_dispatch(steps_per_dispatch, parts.schedule)
        self._data = device.put(arrays, jax.sharding.SingleDeviceSharding(jax.devices()[0]))
        self._order: tuple[int, Any] = (-1, None)  # of which epoch, and each member's order
        batch_size = parts.schedule.batch_size

        def member(state: Any, data: Any, order: jax.Array, epoch: jax.Array) -> tuple[Any, StepSums]:
            return parts.step(state, device.batch(data, order, epoch, state.step, batch_size))

        def one(states: Any, data: Any, orders: jax.Array, epoch: jax.Array) -> tuple[Any, StepSums]:
            if way == "vmap":
                states, sums = jax.vmap(member, (0, None, 0, None))(states, data, orders, epoch)
            else:
                states, sums = jax.lax.map(lambda pair: member(pair[0], data, pair[1], epoch), (states, orders))
            return states, sums.summed()

        def many(states: Any, data: Any, orders: jax.Array, epoch: jax.Array) -> tuple[Any, StepSums]:
            body = lambda carry, _: one(carry, data, orders, epoch)
            states, sums = jax.lax.scan(body, states, length=self._many)
            return states, sums.summed()

        self._one_step, self._many_steps = jax.jit(one, donate_argnums=0), jax.jit(many, donate_argnums=0)

    def run(self, states: Any, start: int, stop: int) -> Iterator[tuple[Any, int, StepSums]]:
        """As the training loop's feeds; the sums are over all members."""
        for epoch, steps in self._schedule.dispatches(start, stop, self._many):
            dispatch = self._many_steps if steps > 1 else self._one_step
            states, sums = dispatch(states, self._data, self._orders_of(epoch, states.key), np.int32(epoch))
            start += steps
            yield states, start, sums

    def _orders_of(self, epoch: int, keys: jax.Array) -> jax.Array:
        if self._order[0] != epoch:
            order = lambda key: device.order(key, epoch, num_examples=self._schedule.num_train)
            self._order = (epoch, jax.vmap(order)(keys))
        return self._order[1]


def start_members(config: Any, seeds: Sequence[int], arrays: Arrays, about: DatasetInfo, way: str) -> Training:
    """A run of the config with each of the seeds at once. An image that three members see counts as three."""
    validate(config, jax.device_count())
    parts = parts_of(config, about, len(arrays.labels))
    create = lambda seed: state.create(parts.model, parts.optimizer, parts.objective.initial_memory, seed)
    states = jax.jit(jax.vmap(create))(jnp.asarray(seeds))
    members = MembersFeed(parts, arrays, config.data.steps_per_dispatch, way)
    return Training(parts, members, states, config.batch_size * len(seeds))
