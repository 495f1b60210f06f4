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
from softaug_jax.train.objective import Objective
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
    objective: Objective
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
    objective = Objective(config, about.num_classes, schedule)
    step = train_step(model, chain, objective, optimizer)
    initial_state = partial(state.create, model, optimizer, objective.initial_memory, config.seed)
    return Parts(about, schedule, model, chain, optimizer, objective, step, initial_state)


def augmentations(config: Any, about: DatasetInfo, schedule: Schedule) -> Chain:
    """Flip, policy, normalise, crop, erase, mix: the authors' order. What is uncovered is exactly the fill."""
    a = config.augment
    members = [
        Member("flip", augment.Flip()) if a.flip else None,
        _policy(a),
        Member("normalize", normalization(about)),
        _crop(config, about, schedule),
        _erase(a),
    ]
    mixes = {
        "none": None,
        "mixup": augment.Mixup(a.mix_alpha),
        "cutmix": augment.CutMix(a.mix_alpha, a.mix_probability),
    }
    return Chain(tuple(member for member in members if member is not None), mixes[a.mix])


def _policy(a: Any) -> Member | None:
    if a.policy == "randaugment":
        return Member("policy", augment.RandAugment(a.policy_num_ops, a.policy_magnitude))
    return Member("policy", augment.TrivialAugment()) if a.policy == "trivialaugment" else None


def _crop(config: Any, about: DatasetInfo, schedule: Schedule) -> Member | None:
    a = config.augment
    fill = {"mean": (0.0,), "black": tuple(-m / s for m, s in zip(about.mean, about.std, strict=True))}[a.fill]
    if a.crop == "hard":
        return Member("crop", augment.HardCrop(a.pad_px, fill))
    # Not in the paper: the authors' code trains the last epochs uncropped.
    last = schedule.step_of_epoch(config.epochs - a.uncropped_final_epochs)
    return Member("crop", augment.SoftCrop(a.sigma, fill, a.rounding), until_step=last) if a.crop == "soft" else None


def _erase(a: Any) -> Member | None:
    if a.erase == "cutout":
        return Member("erase", augment.Cutout(a.cutout_px))
    soft = a.erase == "soft_random"
    return Member("erase", augment.RandomErasing(a.erase_probability, soft=soft)) if a.erase != "none" else None


def normalization(about: DatasetInfo) -> Normalize:
    """Zero mean and unit variance by the training set's statistics."""
    return Normalize(about.mean, about.std)


def method(config: Any) -> str:
    """The run's method in a few words, for tables."""
    a, s = config.augment, config.soften
    crops = {"soft": f"soft crop {a.sigma:g}", "hard": f"hard crop {a.pad_px} px", "none": "no crop"}
    policies = {"randaugment": "RandAugment", "trivialaugment": "TrivialAugment"}
    erasing = {"cutout": f"Cutout {a.cutout_px} px", "random": "random erasing", "soft_random": "soft random erasing"}
    if s.mode != "none" and s.p_min == s.p_max:
        targets = f"smoothing {1 - s.p_max:.3g}"
    else:
        targets = {"none": "hard targets", "target_and_weight": "target & weight"}.get(s.mode, f"{s.mode} only")
    words = [
        crops[a.crop],
        policies.get(a.policy),
        erasing.get(a.erase),
        {"mixup": "Mixup", "cutmix": "CutMix"}.get(a.mix),
        targets,
        "online label smoothing" if config.loss.online_smoothing else None,
        f"focal loss {config.loss.focal_gamma:g}" if config.loss.focal_gamma else None,
    ]
    return ", ".join(word for word in words if word)
