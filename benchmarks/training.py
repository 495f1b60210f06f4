"""Our training as a benchmark runs it: the parts that main.py trains with, fed the same way, and nothing logged."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.data.info import DatasetInfo, info
from softaug_jax.data.schedule import Schedule
from softaug_jax.data.sources import Arrays, load
from softaug_jax.tasks import task_of
from softaug_jax.train import feed, setup, sharding
from softaug_jax.train.setup import Parts
from softaug_jax.train.steps import NO_STEP, READ_BEHIND, StepSums, TrainStep
from softaug_jax.train.validate import validate


def data_of(dataset: str, data_dir: str, num_random: int = 0, image_px: int = 0) -> tuple[Arrays, DatasetInfo]:
    """The training set, or random pixels of its shape, and the facts about it.

    Args:
      dataset: name of the set.
      data_dir: where it is prepared.
      num_random: how many random images to take instead; 0: the set itself.
      image_px: side of the random images; 0: the set's. With it there are 1000 classes, as in ImageNet.
    """
    about = info(dataset)
    if not num_random:
        if image_px:
            raise UsageError(f"--image_px={image_px} is for random images: give --random=N too, as in --random=4096.")
        return load(dataset, "train", data_dir), about
    if image_px:
        about = about._replace(name=f"random {image_px} px", image_size=(image_px, image_px), num_classes=1000)
    about = about._replace(num_train=num_random)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_random, *about.image_size, about.channels), dtype=np.uint8)
    return Arrays(images, rng.integers(0, about.num_classes, num_random).astype(np.int32)), about


def parts_of(config: Any, about: DatasetInfo, num_train: int) -> Parts:
    """The parts of a run; for images of other sizes than the data set's, with the stem that suits them."""
    if about.image_size == info(config.dataset).image_size:
        return setup.build(config, num_train)
    schedule = Schedule(num_train, config.batch_size, config.epochs)
    recipe = task_of(config).build(config, about, schedule)
    model = models.create(
        config.model.name,
        num_classes=about.num_classes,
        channels=about.channels,
        dtype=config.model.dtype,
        stem="imagenet" if min(about.image_size) >= 64 else "cifar",
    )
    return setup.assemble(config, about, schedule, recipe._replace(model=model))


class ConstantFeed:
    """One batch, on the device from the start, again and again: the floor. It dispatches as the device loader does."""

    def __init__(
        self,
        step: TrainStep,
        arrays: Arrays,
        schedule: Schedule,
        shardings: sharding.Shardings,
        steps_per_dispatch: int,
    ):
        first = slice(0, schedule.batch_size)
        batch = {"image": arrays.images[first], "label": arrays.labels[first]}
        self._batch = jax.device_put(batch, shardings.batch)
        self._schedule, self._many = schedule, steps_per_dispatch
        self._one_step = feed.jit_step(step, shardings)

        def many(state: Any, batch: Any) -> tuple[Any, StepSums]:
            state, sums = jax.lax.scan(lambda carry, _: step(carry, batch), state, length=steps_per_dispatch)
            return state, sums.summed()

        self._many_steps = feed.jit_step(many, shardings)

    def run(self, state: Any, start: int, stop: int) -> Iterator[tuple[Any, int, StepSums]]:
        for _, steps in self._schedule.dispatches(start, stop, self._many):
            state, sums = (self._many_steps if steps > 1 else self._one_step)(state, self._batch)
            start += steps
            yield state, start, sums


class Training:
    """A run under way: its state stays on the device, and it goes on where it stopped.

    Attributes:
      parts: what the config describes.
      state: of the run, or of several members with a leading axis.
      step: steps done.
      sums: of the last call of `advance`, on the host; over all members.
    """

    def __init__(self, parts: Parts, run_feed: Any, initial_state: Any, images_per_step: int):
        """`run_feed` has `run` as the training loop's feeds have it."""
        self.parts, self.state, self.step = parts, initial_state, 0
        self.sums: StepSums | None = None
        self._feed, self._images_per_step = run_feed, images_per_step
        self._lap_steps, self._lap_epochs = 0, 1

    def advance(self, steps: int) -> None:
        """Trains so many steps and waits for their end; UsageError if a loss was not finite."""
        under_way: deque[StepSums] = deque()
        self.sums = None
        for state, step, sums in self._feed.run(self.state, self.step, self.step + steps):
            self.state, self.step = state, step
            under_way.append(sums)
            if len(under_way) > READ_BEHIND:
                self._read(under_way.popleft())
        for sums in under_way:
            self._read(sums)
        jax.block_until_ready(self.state)

    def epoch(self) -> float:
        """Trains to the end of the epoch; returns its mean loss."""
        schedule = self.parts.schedule
        self.advance(schedule.step_of_epoch(schedule.epoch_of_step(self.step) + 1) - self.step)
        assert self.sums is not None
        return self.sums.means["loss"]

    def warm_up(self, seconds: float, steps: int = 0) -> None:
        """Compiles, and decides what a lap is: so many steps, or whole epochs that take at least so long."""
        self._lap_steps = steps
        if steps:
            self.advance(1)  # the program for the steps left over at an epoch's end
            self.advance(steps)
            return
        self.epoch()
        self.advance(1)  # as above: the first epoch may have had none left over
        start = time.perf_counter()
        self.epoch()
        self._lap_epochs = max(1, math.ceil(seconds / (time.perf_counter() - start)))

    def lap(self) -> int:
        """Trains one lap; returns its images."""
        start, schedule = self.step, self.parts.schedule
        end = schedule.step_of_epoch(schedule.epoch_of_step(start) + self._lap_epochs)
        self.advance(self._lap_steps or end - start)
        return (self.step - start) * self._images_per_step

    def _read(self, sums: StepSums) -> None:
        sums = jax.device_get(sums)
        if sums.first_bad_step != NO_STEP:
            raise UsageError(f"The loss became NaN or infinite at step {int(sums.first_bad_step)}: nothing to time.")
        self.sums = sums if self.sums is None else self.sums.plus(sums)


def start(config: Any, arrays: Arrays, about: DatasetInfo, *, constant: bool = False) -> Training:
    """The run of a config before its first step; UsageError if the config can't be used.

    Args:
      config: as main.py has it.
      arrays: the training set.
      about: facts about it.
      constant: feed one batch again and again, which the config should then not augment.
    """
    validate(config, jax.device_count())
    parts, shardings = parts_of(config, about, len(arrays.labels)), sharding.over()
    if constant:
        many = feed.steps_of_dispatch(config.data.steps_per_dispatch, parts.schedule)
        many = many if config.data.loader == "device" else 1
        run_feed: Any = ConstantFeed(parts.step, arrays, parts.schedule, shardings, many)
    else:
        run_feed = feed.create(config, parts.step, parts.chain, arrays, parts.schedule, shardings)
    initial = jax.jit(parts.initial_state, out_shardings=shardings.replicated)()
    return Training(parts, run_feed, initial, config.batch_size)
