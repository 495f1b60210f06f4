"""Runs the step over the training stream, fed by the host (tf.data) or from device memory.

Both give the same thing: from one step to another, the state and the sums after each dispatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data import device
from softaug_jax.data.image_set import ImageSet
from softaug_jax.data.schedule import Schedule
from softaug_jax.data.sources import Arrays
from softaug_jax.target import platform, splitting
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState
from softaug_jax.train.steps import Batch, StepSums, TrainStep


class Feed(Protocol):
    """A source of training batches, joined to the step."""

    def run(self, state: TrainState, start: int, stop: int) -> Iterator[tuple[TrainState, int, StepSums]]:
        """Trains from step `start` to `stop`; yields state, steps done and the dispatch's sums after each dispatch.

        The old state's buffers are given to the new one: do not use a state after passing it here.
        """
        ...

    def batch(self, key: jax.Array, step: int) -> Batch:
        """The batch of a step, or this process's part, to look at; `key` is the run's, on this process's devices."""
        ...


def create(
    config: Any, step: TrainStep, chain: Any, images: Arrays | ImageSet, schedule: Schedule, shardings: Shardings
) -> Feed:
    """The feed that `config.data.loader` names."""
    if isinstance(images, Arrays) and config.data.loader == "device":
        return DeviceFeed(step, images, schedule, shardings, config.data.steps_per_dispatch)
    return HostFeed(step, host_batches(config, chain, images), shardings)


def check(config: Any) -> None:
    """Raises UsageError if what reads the config's batches is not installed."""
    if config.data.loader != "tfdata":
        return
    try:  # this loads TensorFlow
        from softaug_jax.data import image_batches, tfdata  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"config.data.loader = 'tfdata' needs TensorFlow ({error}). Use 'device', or install it."
        ) from None


# From a step on, this process's parts of the batches, without end.
HostBatches = Callable[..., Iterator[Mapping[str, np.ndarray]]]


def host_batches(config: Any, chain: Any, images: Arrays | ImageSet) -> HostBatches:
    """Batches by tf.data, of images in memory or of files, by the keyword `start_step`."""
    check(config)
    from softaug_jax.data import image_batches, image_filling, tfdata

    place = dict(
        seed=config.seed,
        batch_size=config.batch_size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    if isinstance(images, Arrays):
        return partial(tfdata.train_batches, images, chain, **place)
    # One for the whole run, so that each file is named once.
    unreadable = image_filling.Unreadable(images, config.data.skip_unreadable)
    files = dict(size_px=config.data.size_px, resize_px=config.data.resize_px, num_threads=config.data.threads or None)
    return partial(image_batches.train_batches, images, chain, **place, **files, unreadable=unreadable)


def jit_step(step: TrainStep, shardings: Shardings) -> TrainStep:
    """The step under jit: state on every device and donated, batch split over the devices."""

    def one(state: TrainState, batch: Batch) -> tuple[TrainState, StepSums]:
        with splitting(shardings.batch):
            return step(state, batch)

    return jax.jit(
        one,
        in_shardings=(shardings.replicated, shardings.batch),
        out_shardings=shardings.replicated,
        donate_argnums=0,
    )


Dispatch = Callable[[TrainState, device.DeviceData, jax.Array, Any], tuple[TrainState, StepSums]]


def jit_dispatch(step: TrainStep, schedule: Schedule, shardings: Shardings, length: int) -> Dispatch:
    """`length` steps on data in device memory under jit: (state, data, epoch's order, epoch) -> state and sums."""

    def one(state: TrainState, data: Any, order: jax.Array, epoch: jax.Array) -> tuple[TrainState, StepSums]:
        batch = device.batch(data, order, epoch, state.step, schedule.batch_size)
        with splitting(shardings.batch):
            return step(state, jax.lax.with_sharding_constraint(batch, shardings.batch))

    def many(state: TrainState, data: Any, order: jax.Array, epoch: jax.Array) -> tuple[TrainState, StepSums]:
        body = lambda carry, _: one(carry, data, order, epoch)
        state, sums = jax.lax.scan(body, state, length=length)
        return state, sums.summed()

    replicated = shardings.replicated
    return jax.jit(
        one if length == 1 else many, in_shardings=(replicated,) * 4, out_shardings=replicated, donate_argnums=0
    )


def default_steps_per_dispatch() -> int:
    """On CPU a convolution inside a loop runs about 30 times slower than outside one."""
    return 1 if platform() == "cpu" else 64


def steps_of_dispatch(asked: int, schedule: Schedule) -> int:
    """How many steps the device loader dispatches at once: `asked`, or the default if 0, but at most an epoch's."""
    return min(asked or default_steps_per_dispatch(), schedule.fewest_steps)


class HostFeed:
    """Batches read and drawn by tf.data on the host, one step a dispatch."""

    def __init__(self, step: TrainStep, batches_from: HostBatches, shardings: Shardings):
        self._step, self._sharding = jit_step(step, shardings), shardings.batch
        self._from = batches_from
        self._next_step = -1

    def run(self, state: TrainState, start: int, stop: int) -> Iterator[tuple[TrainState, int, StepSums]]:
        from softaug_jax.data.prefetch import to_device

        if start != self._next_step:
            self._batches = iter(to_device(self._from(start_step=start), self._sharding))
        for step in range(start, stop):
            self._next_step = step + 1
            state, sums = self._step(state, next(self._batches))
            yield state, step + 1, sums

    def batch(self, key: jax.Array, step: int) -> Batch:
        return jax.tree.map(jnp.asarray, next(iter(self._from(start_step=step))))


class DeviceFeed:
    """Batches gathered in device memory, many steps a dispatch, as the schedule divides them."""

    def __init__(
        self, step: TrainStep, arrays: Arrays, schedule: Schedule, shardings: Shardings, steps_per_dispatch: int
    ):
        self._many = steps_of_dispatch(steps_per_dispatch, schedule)
        self._schedule, self._replicated = schedule, shardings.replicated
        self._arrays, self._data = arrays, device.put(arrays, shardings.replicated)
        self._order: tuple[int, Any] = (-1, None)  # of which epoch, and its order
        self._one_step = jit_dispatch(step, schedule, shardings, 1)
        self._many_steps = jit_dispatch(step, schedule, shardings, self._many)

    def run(self, state: TrainState, start: int, stop: int) -> Iterator[tuple[TrainState, int, StepSums]]:
        for epoch, steps in self._schedule.dispatches(start, stop, self._many):
            dispatch = self._many_steps if steps > 1 else self._one_step
            state, sums = dispatch(state, self._data, self._order_of(epoch, state.key), np.int32(epoch))
            start += steps
            yield state, start, sums

    def batch(self, key: jax.Array, step: int) -> Batch:
        # From the host's copy: one process of several may look, and a program on all devices would wait for the others.
        epoch = self._schedule.epoch_of_step(step)
        order = device.order(key, epoch, num_examples=self._schedule.num_train)
        indices = np.asarray(device.indices(order, epoch, step, self._schedule.batch_size))
        fields = {"image": self._arrays.images[indices], "label": self._arrays.labels[indices]}
        return jax.tree.map(jnp.asarray, fields)

    def _order_of(self, epoch: int, key: jax.Array) -> jax.Array:
        if self._order[0] != epoch:
            order = device.order(key, epoch, num_examples=self._schedule.num_train)
            self._order = (epoch, jax.device_put(order, self._replicated))
        return self._order[1]
