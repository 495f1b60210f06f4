"""Checks a config before any device time is spent. Each error names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from softaug_jax import models
from softaug_jax.checks import UsageError, check_choice, check_scalar
from softaug_jax.crops import ROUNDINGS
from softaug_jax.data.info import INFO
from softaug_jax.evals import EVALUATORS
from softaug_jax.softening import MODES
from softaug_jax.train.objective import WEIGHTINGS

CHOICES: dict[str, Collection[str]] = {
    "dataset": INFO,
    "model.name": models.MODELS,
    "model.dtype": ("auto", *models.DTYPES),
    "data.loader": ("device", "tfdata"),
    "augment.crop": ("soft", "hard", "none"),
    "augment.policy": ("none", "randaugment", "trivialaugment"),
    "augment.erase": ("none", "cutout", "random", "soft_random"),
    "augment.mix": ("none", "mixup", "cutmix"),
    "augment.rounding": ROUNDINGS,
    "augment.fill": ("mean", "black"),
    "soften.mode": MODES,
    "loss.weighting": WEIGHTINGS,
    "evals.occlusion_fill": ("mean", "black"),
}
AT_LEAST: dict[str, float] = {
    "epochs": 1,
    "batch_size": 1,
    "eval_batch_size": 1,
    "eval_every_epochs": 1,
    "checkpoint_every_epochs": 1,
    "data.steps_per_dispatch": 0,
    "augment.pad_px": 0,
    "augment.policy_num_ops": 1,
    "augment.policy_magnitude": 0,
    "augment.cutout_px": 1,
    "augment.erase_probability": 0,
    "augment.mix_probability": 0,
    "augment.uncropped_final_epochs": 0,
    "optimizer.momentum": 0,
    "optimizer.weight_decay": 0,
    "soften.p_max": 0,
    "loss.focal_gamma": 0,
    "loss.online_smoothing": 0,
    "evals.num_bins": 1,
    "evals.occlusion_draws": 1,
}
AT_MOST: dict[str, float] = {
    "augment.policy_magnitude": 30,
    "augment.erase_probability": 1,
    "augment.mix_probability": 1,
    "soften.p_max": 1,
    "loss.online_smoothing": 1,
    "optimizer.momentum": 1,
}
ABOVE: dict[str, float] = {"augment.sigma": 0, "augment.mix_alpha": 0, "soften.k": 0, "optimizer.learning_rate": 0}


def validate(config: Any, num_devices: int) -> None:
    """Raises UsageError at the first field that can't be used."""
    try:
        _validate(config, num_devices)
    except UsageError:
        raise
    except ValueError as error:  # from the shared checks
        raise UsageError(str(error)) from None


def _validate(config: Any, num_devices: int) -> None:
    for field, choices in CHOICES.items():
        check_choice(f"config.{field}", _get(config, field), choices)
    for field, least in AT_LEAST.items():
        check_scalar(f"config.{field}", _get(config, field), at_least=least)
    for field, most in AT_MOST.items():
        check_scalar(f"config.{field}", _get(config, field), at_most=most)
    for field, limit in ABOVE.items():
        check_scalar(f"config.{field}", _get(config, field), above=limit)
    if config.soften.p_min is not None:
        check_scalar("config.soften.p_min", config.soften.p_min, at_least=0, at_most=config.soften.p_max)
    elif config.soften.p_max < 1.0 / INFO[config.dataset].num_classes:
        raise UsageError(f"config.soften.p_max = {config.soften.p_max} is below chance, which config.soften.p_min is.")
    check_scalar("config.augment.uncropped_final_epochs", config.augment.uncropped_final_epochs, at_most=config.epochs)
    for field in ("periodic", "final"):
        for name in config.evals[field]:
            check_choice(f"config.evals.{field}", name, EVALUATORS)
    for share in config.evals.occlusion_shares:
        check_scalar("config.evals.occlusion_shares", share, at_least=0, at_most=1)
    _check_batch(config, num_devices)


def _check_batch(config: Any, num_devices: int) -> None:
    batch, num_train = config.batch_size, INFO[config.dataset].num_train
    if batch % num_devices:
        below, above = batch - batch % num_devices, batch + num_devices - batch % num_devices
        example = f"{below} or {above}" if below else f"{above}"
        raise UsageError(
            f"config.batch_size = {batch} does not divide over {num_devices} devices. "
            f"Use a multiple of {num_devices}, for example --config.batch_size={example}."
        )
    if config.augment.mix != "none" and batch % (2 * num_devices):
        raise UsageError(
            f"config.augment.mix = {config.augment.mix!r} mixes images in pairs, and config.batch_size = {batch} "
            f"leaves an odd number to a device. Use a multiple of {2 * num_devices}."
        )
    if batch > num_train:
        raise UsageError(f"config.batch_size = {batch} is more than the {num_train} images of {config.dataset}.")


def _get(config: Any, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config
