"""Checks a config before any device time is spent. Each error names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

import numpy as np

from softaug_jax import models, own
from softaug_jax.checks import (
    Range,
    UsageError,
    at_least_one,
    check_choice,
    fraction,
    is_seed,
    not_negative,
    positive,
)
from softaug_jax.data.info import INFO, training_images
from softaug_jax.data.schedule import Schedule
from softaug_jax.tasks import idle, task_of
from softaug_jax.train import distributed, optim
from softaug_jax.train.workdir import warn

# Of every config; the task's own are in softaug_jax/tasks.
CHOICES: dict[str, Collection[str]] = {
    "dataset": INFO,
    "model.name": models.MODELS,
    "model.stem": models.STEMS,
    "model.dtype": ("auto", *models.DTYPES),
    "data.loader": ("device", "tfdata"),
    "optimizer.decayed": optim.DECAYED,
}
RANGES: dict[str, Range] = {
    "seed": is_seed,
    "epochs": at_least_one,
    "batch_size": at_least_one,
    "eval_batch_size": at_least_one,
    "eval_every_epochs": at_least_one,
    "checkpoint_every_epochs": at_least_one,
    "data.images_per_class": not_negative,
    "data.steps_per_dispatch": not_negative,
    "model.norm_group": not_negative,
    "optimizer.learning_rate": positive,
    "optimizer.momentum": fraction,
    "optimizer.warmup_epochs": not_negative,
    "optimizer.weight_decay": not_negative,
    "evals.num_bins": at_least_one,
}


def validate(config: Any, num_devices: int, typed: Mapping[str, Any] | None = None) -> None:
    """Raises UsageError at the first field that can't be used; warns of options that change nothing.

    Args:
      config: of a training.
      num_devices: of all processes.
      typed: the fields that options have set, with their values.
    """
    try:
        _validate(config, num_devices)
    except ValueError as error:  # from the shared checks
        raise UsageError(str(error)) from None
    if distributed.peers().is_first:
        for sentence in idle.sentences(config, typed or {}):  # no error: sweeps hand all their runs the same
            warn(sentence)


def _validate(config: Any, num_devices: int) -> None:
    if "runs" in config:
        raise UsageError(f"The config {config.name} tests finished runs and describes none: main.py is what takes it.")
    own.import_own(config)
    task = task_of(config)
    rules = task.rules
    for field, choices in {**CHOICES, **rules.choices}.items():
        check_choice(f"config.{field}", name := attrgetter(field)(config), choices)
        if isinstance(choices, own.Entries):
            own.check_entry(config, field, name, choices)
    for field, check_range in {**RANGES, **rules.ranges}.items():
        check_range(f"config.{field}", attrgetter(field)(config))
    for field in ("periodic", "final"):
        for name in config.evals[field]:
            check_choice(f"config.evals.{field}", name, task.evaluators)
    models.stem_argument(config.model.name, config.model.stem)
    about = INFO[config.dataset]
    if about.encoded and config.data.images_per_class:
        raise UsageError(
            f"config.data.images_per_class = {config.data.images_per_class} is for sets that are held in memory, "
            f"not for {config.dataset}. Use 0, and folders with fewer files."
        )
    if about.encoded and config.data.loader != "tfdata":
        raise UsageError(
            f"config.data.loader = {config.data.loader!r} holds all images in device memory, and those of "
            f"{config.dataset} are files that the host decodes. Use 'tfdata', as configs/imagenet_sa.py does."
        )
    num_train = training_images(about, config.data.images_per_class)
    _check_batch(config, num_devices, num_train)
    optim.learning_rate(config, Schedule(num_train, config.batch_size, config.epochs).total_steps)
    rules.check(config, num_devices)


def check_train(config: Any, labels: np.ndarray) -> None:
    """Raises UsageError if the training images that are there, of labels int [n], are too few for the config."""
    check_fills_a_batch(config, len(labels))
    optim.learning_rate(config, Schedule(len(labels), config.batch_size, config.epochs).total_steps)
    task_of(config).rules.check_train(config, labels)


def _check_batch(config: Any, num_devices: int, num_train: int) -> None:
    batch = config.batch_size
    if batch % num_devices:
        below, above = batch - batch % num_devices, batch + num_devices - batch % num_devices
        example = f"{below} or {above}" if below else f"{above}"
        raise UsageError(
            f"config.batch_size = {batch} does not divide over {num_devices} devices. "
            f"Use a multiple of {num_devices}, for example --config.batch_size={example}."
        )
    if (group := config.model.norm_group) and batch % group:
        raise UsageError(
            f"config.model.norm_group = {group} does not divide config.batch_size = {batch}. Use a divisor, or 0 for "
            "statistics over the whole batch."
        )
    check_fills_a_batch(config, num_train)


def check_fills_a_batch(config: Any, num_train: int) -> None:
    """Raises UsageError if there are fewer training images than a batch has."""
    if config.batch_size > num_train:
        raise UsageError(
            f"config.batch_size = {config.batch_size} is more than the {num_train} training images of {config.dataset}."
        )
