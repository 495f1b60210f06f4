"""From a config to the parts of a run. Touches no device but to ask which there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from softaug_jax.data.info import DatasetInfo, info, training_images
from softaug_jax.data.schedule import Schedule
from softaug_jax.models import Model
from softaug_jax.tasks import Task, task_of
from softaug_jax.tasks.protocol import Augmenter, Objective, Recipe
from softaug_jax.train import optim, state
from softaug_jax.train.state import TrainState
from softaug_jax.train.steps import TrainStep, train_step
from softaug_jax.train.validate import check_fills_a_batch

StatePredict = Callable[[TrainState, jax.Array], jax.Array]  # normalised images [B, H, W, C] -> [B, ...]


class Parts(NamedTuple):
    """What a config describes."""

    info: DatasetInfo
    task: Task
    schedule: Schedule
    model: Model
    chain: Augmenter
    optimizer: optax.GradientTransformation
    objective: Objective
    step: TrainStep
    initial_state: Callable[[], TrainState]
    predict: StatePredict
    features: StatePredict


def build(config: Any, num_train: int | None = None) -> Parts:
    """Builds the parts; `num_train` is the number of training examples if it is not what the config says.

    Raises:
      UsageError: if they do not fill a batch.
    """
    about = info(config.dataset)
    if num_train is not None:
        check_fills_a_batch(config, num_train)
    num_train = num_train or training_images(about, config.data.images_per_class)
    schedule = Schedule(num_train, config.batch_size, config.epochs)
    return assemble(config, about, schedule, task_of(config).build(config, about, schedule))


def assemble(config: Any, about: DatasetInfo, schedule: Schedule, recipe: Recipe) -> Parts:
    """The parts around a recipe."""
    model, chain, objective, constant_rate, predict = recipe
    optimizer = optim.optimizer(config, schedule.total_steps, constant_rate)
    step = train_step(model, chain, objective, optimizer)
    initial_state = partial(state.create, model, optimizer, objective.initial_memory, config.seed)
    predict = predict or (lambda state, images: model.predict(state.params, state.batch_stats, images))
    return Parts(
        about,
        task_of(config),
        schedule,
        model,
        chain,
        optimizer,
        objective,
        step,
        initial_state,
        predict,
        lambda state, images: model.features(state.params, state.batch_stats, images),
    )
