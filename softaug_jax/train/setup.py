"""From a config to the parts of a run. Touches no device but to ask which there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import optax

from softaug_jax import augment, models
from softaug_jax.augment import Chain, Member, Normalize
from softaug_jax.data.info import DatasetInfo, info
from softaug_jax.train import optim, state
from softaug_jax.train.objective import softened_cross_entropy
from softaug_jax.train.schedule import Schedule
from softaug_jax.train.state import TrainState
from softaug_jax.train.steps import TrainStep, train_step


class Parts(NamedTuple):
    """What a config describes."""

    info: DatasetInfo
    schedule: Schedule
    model: models.Model
    chain: Chain
    optimizer: optax.GradientTransformation
    step: TrainStep
    initial_state: Callable[[], TrainState]


def build(config: Any, num_train: int | None = None) -> Parts:
    """Builds the parts; `num_train` is the number of training examples if it is not the full set's."""
    about = info(config.dataset)
    schedule = Schedule(num_train or about.num_train, config.batch_size, config.epochs)
    model = models.create(
        config.model.name, num_classes=about.num_classes, channels=about.channels, dtype=config.model.dtype
    )
    chain = augmentations(config, about, schedule)
    optimizer = optim.optimizer(config, schedule.total_steps)
    objective = softened_cross_entropy(config, about.num_classes)
    step = train_step(model, chain, objective, optimizer)
    return Parts(about, schedule, model, chain, optimizer, step, partial(state.create, model, optimizer, config.seed))


def augmentations(config: Any, about: DatasetInfo, schedule: Schedule) -> Chain:
    """Flip, normalise, crop: the authors' order, with the crop last so that what it uncovers is exactly the fill."""
    members = [Member("normalize", normalization(about))]
    if config.augment.flip:
        members.insert(0, Member("flip", augment.Flip()))
    fill = {"mean": (0.0,), "black": tuple(-m / s for m, s in zip(about.mean, about.std, strict=True))}
    if config.augment.crop == "soft":
        crop = augment.SoftCrop(config.augment.sigma, fill[config.augment.fill], config.augment.rounding)
        # Not in the paper: the authors' code trains the last epochs uncropped.
        last = schedule.step_of_epoch(config.epochs - config.augment.uncropped_final_epochs)
        members.append(Member("crop", crop, until_step=last))
    elif config.augment.crop == "hard":
        members.append(Member("crop", augment.HardCrop(config.augment.pad_px, fill[config.augment.fill])))
    return Chain(tuple(members))


def normalization(about: DatasetInfo) -> Normalize:
    """Zero mean and unit variance by the training set's statistics."""
    return Normalize(about.mean, about.std)


def method(config: Any) -> str:
    """The run's method in a few words, for tables."""
    a, s = config.augment, config.soften
    crops = {"soft": f"soft crop {a.sigma:g}", "hard": f"hard crop {a.pad_px} px", "none": "no crop"}
    if s.mode != "none" and s.p_min == s.p_max:
        targets = f"smoothing {1 - s.p_max:.3g}"
    else:
        targets = {"none": "hard targets", "target_and_weight": "target & weight"}.get(s.mode, f"{s.mode} only")
    return f"{crops[a.crop]}, {targets}"
