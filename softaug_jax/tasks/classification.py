"""Classification: one augmented image, its label softened by what is visible, one network's logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from softaug_jax import own, preview
from softaug_jax.checks import UsageError, at_least_one, check_choice, check_scalar, fraction, not_negative, positive
from softaug_jax.crops import ROUNDINGS
from softaug_jax.data.info import INFO, DatasetInfo
from softaug_jax.data.schedule import Schedule
from softaug_jax.evals import Calibration, Classification, Density, Energy, Occluded, Occlusion, Version2
from softaug_jax.evals.occlusion import check_shares
from softaug_jax.tasks import heads, idle
from softaug_jax.tasks.augmentations import CROPS, CUT_BY_HOST, ERASERS, POLICIES, augmentations
from softaug_jax.tasks.class_objective import LOSSES, SOFTENINGS, WEIGHTINGS, loss_name
from softaug_jax.tasks.protocol import Recipe, Rules, Task, Tested, evaluations

HIDDEN_FRAC = 0.8  # of each image, where a score is asked to tell whole images from occluded ones


def _check(config: Any, num_devices: int) -> None:
    if config.soften.p_min is not None:
        check_scalar("config.soften.p_min", config.soften.p_min, at_least=0, at_most=config.soften.p_max)
    elif config.soften.p_max < 1.0 / INFO[config.dataset].num_classes:
        raise UsageError(f"config.soften.p_max = {config.soften.p_max} is below chance, which config.soften.p_min is.")
    check_choice("config.loss.name", loss_name(config), LOSSES)
    own.check_entry(config, "loss.name", loss_name(config), LOSSES)
    if "noise" in config:
        check_scalar("config.noise.sigma", config.noise.sigma, above=0, at_most=1)
    check_scalar("config.augment.uncropped_final_epochs", config.augment.uncropped_final_epochs, at_most=config.epochs)
    if config.loss.normalize_weights and config.loss.weighting == "batch_mean":
        raise UsageError(
            "config.loss.normalize_weights = True divides by the mean weight that config.loss.weighting = 'batch_mean' "
            "multiplies by: no weight is left. Use --config.loss.normalize_weights=False, or weighting=per_example."
        )
    if config.data.images_per_class == 1 and "density" in evaluations(config):
        raise UsageError(
            "config.data.images_per_class = 1 leaves no class a covariance, which 'density' in config.evals needs. Use "
            "at least 2, or other evaluations."
        )
    _check_window(config)
    if config.augment.erase == "cutout" and config.augment.cutout_px >= 2 * min(size := heads.image_size(config)):
        raise UsageError(
            f"config.augment.cutout_px = {config.augment.cutout_px} covers all of an image of {size[0]} x {size[1]} "
            f"pixels, wherever its square lies. Use less than {2 * min(size)}."
        )
    check_shares("config.evals.occlusion_shares", config.evals.occlusion_shares)
    if config.augment.mix != "none" and config.batch_size % (2 * num_devices):
        raise UsageError(
            f"config.augment.mix = {config.augment.mix!r} mixes images in pairs, and config.batch_size = "
            f"{config.batch_size} leaves an odd number to a device. Use a multiple of {2 * num_devices}."
        )
    heads.check(config)


def _check_train(config: Any, labels: np.ndarray) -> None:
    single = np.flatnonzero(np.bincount(labels) == 1)
    if single.size and "density" in evaluations(config):
        raise UsageError(
            f"config.evals has 'density', which needs two training images of a class for its covariance, and "
            f"{config.dataset} has a single one of {INFO[config.dataset].class_name(int(single[0]))}. Use other "
            "evaluations, or add images."
        )


def _check_window(config: Any) -> None:
    """Images of any size are cut by the host as it decodes them; images in memory by the device."""
    crop, encoded = config.augment.crop, INFO[config.dataset].encoded
    if crop in CUT_BY_HOST and not encoded:
        raise UsageError(
            f"config.augment.crop = {crop!r} is for images that the host decodes, and those of {config.dataset} are in "
            "memory. Use soft, hard or none."
        )
    if encoded and crop not in (*CUT_BY_HOST, "none"):
        raise UsageError(
            f"config.augment.crop = {crop!r} moves images of one size; those of {config.dataset} have many. Use "
            f"{', '.join(CUT_BY_HOST)} or none."
        )
    if encoded:
        if "size_px" not in config.data:
            raise UsageError(
                f"config.dataset = {config.dataset!r} is image files, which the config doesn't say how to cut. Start "
                f"from configs/imagenet_sa.py or configs/imagenet_baseline.py, with dataset={config.dataset}."
            )
        check_scalar("config.data.size_px", config.data.size_px, at_least=1, at_most=config.data.resize_px)
        check_scalar("config.data.threads", config.data.threads, at_least=0)
    if crop == "soft_resized" and config.augment.fill != "mean":
        raise UsageError(
            f"config.augment.fill = {config.augment.fill!r}: a window that the host cuts shows the mean colour outside "
            "of the image. Use mean."
        )
    if config.augment.fill_noise and crop in ("none", *CUT_BY_HOST):
        raise UsageError(
            f"config.augment.fill_noise = {config.augment.fill_noise:g} is of what a soft or hard crop uncovers, and "
            f"config.augment.crop = {crop!r}. Use 0."
        )
    if crop == "random_resized":
        smallest, largest = config.augment.scale_min, config.augment.scale_max
        check_scalar("config.augment.scale_min", smallest, above=0, at_most=largest)
        check_scalar("config.augment.scale_max", largest, at_most=1)


RULES = Rules(
    choices={
        "model.head": heads.RANGES,
        "augment.crop": CROPS,
        "augment.policy": POLICIES,
        "augment.erase": ERASERS,
        "augment.mix": ("none", "mixup", "cutmix"),
        "augment.rounding": ROUNDINGS,
        "augment.fill": ("mean", "black"),
        "soften.mode": SOFTENINGS,
        "loss.weighting": WEIGHTINGS,
        "evals.occlusion_fill": ("mean", "black"),
    },
    ranges={
        "model.spectral_bound": not_negative,
        "augment.pad_px": not_negative,
        "augment.sigma": positive,
        "augment.fill_noise": not_negative,
        "augment.policy_num_ops": at_least_one,
        "augment.policy_magnitude": partial(check_scalar, at_least=0, at_most=30),
        "augment.cutout_px": at_least_one,
        "augment.erase_probability": fraction,
        "augment.mix_alpha": positive,
        "augment.mix_probability": fraction,
        "augment.uncropped_final_epochs": not_negative,
        "soften.k": positive,
        "soften.p_max": fraction,
        "loss.focal_gamma": not_negative,
        "loss.online_smoothing": fraction,
        "evals.occlusion_draws": at_least_one,
    },
    check=_check,
    check_train=_check_train,
)


def build(config: Any, about: DatasetInfo, schedule: Schedule) -> Recipe:
    """The network, the augmentations and the objective."""
    return heads.recipe(config, about, schedule, augmentations(config, about, schedule))


def describe(config: Any) -> str:
    """The run's method in a few words, for tables."""
    a = config.augment
    crops = {"soft": f"soft crop {a.sigma:g}", "hard": f"hard crop {a.pad_px} px", "none": "no crop"}
    crops |= {"soft_resized": f"soft crop and resize {a.sigma:g}", "random_resized": "random resized crop"}
    policies = {"none": None, "randaugment": "RandAugment", "trivialaugment": "TrivialAugment"}
    erasing = {"none": None, "cutout": f"Cutout {a.cutout_px} px"}
    erasing |= {"random": "random erasing", "soft_random": "soft random erasing"}
    words = [
        crops["none"] if idle.is_on(config) else crops.get(a.crop, a.crop),
        policies.get(a.policy, a.policy),
        None if idle.erases(config) else erasing.get(a.erase, a.erase),
        f"noise {config.noise.sigma:g}" if "noise" in config else None,
        None if idle.mixes(config) else {"mixup": "Mixup", "cutmix": "CutMix"}.get(a.mix),
        _softened(config),
        "online label smoothing" if config.loss.online_smoothing else None,
        _loss(config),
        heads.describe(config),
    ]
    return ", ".join(word for word in words if word)


def _loss(config: Any) -> str:
    """Which loss, where it is not the cross entropy."""
    if (name := loss_name(config)) != "focal":
        return f"{name} loss"
    return f"focal loss {config.loss.focal_gamma:g}" if config.loss.focal_gamma else ""


def _softened(config: Any) -> str:
    """What is softened, in a few words; where every image has the same confidence, p_max, by how much."""
    s = config.soften
    if s.mode == "none" or idle.softens(config):
        return "hard targets"
    if idle.softens_otherwise(config):
        return str(s.mode)
    if idle.bends(config) or idle.hides(config):
        smoothing, weight = f"smoothing {1 - s.p_max:.3g}", f"weight {s.p_max:.3g}"
        return {"target": smoothing, "weight": f"hard targets, {weight}"}.get(s.mode, f"{smoothing}, {weight}")
    return "target & weight" if s.mode == "target_and_weight" else f"{s.mode} only"


def _occlusion(tested: Tested) -> Occlusion:
    evals = tested.config.evals
    return Occlusion(
        tested.predict,
        tested.test,
        shares=evals.occlusion_shares,
        draws=evals.occlusion_draws,
        seed=tested.config.seed,
        fill=_fill(tested),
    )


def _hidden(tested: Tested) -> Occluded:
    return Occluded(tested.test, share=HIDDEN_FRAC, seed=tested.config.seed, fill=_fill(tested))


def _fill(tested: Tested) -> np.ndarray:
    """The colour of the occlusion's square, in 0 to 255."""
    about = tested.about
    fill = {"mean": tuple(255.0 * m for m in about.mean), "black": (0.0,) * about.channels}
    return np.asarray(fill[tested.config.evals.occlusion_fill], np.float32)


CLASSIFICATION = Task(
    rules=RULES,
    build=build,
    evaluators={
        "classification": lambda tested: Classification(tested.predict, tested.test),
        "calibration": lambda tested: Calibration(tested.predict, tested.test, num_bins=tested.config.evals.num_bins),
        "occlusion": _occlusion,
        "v2": lambda tested: Version2(tested.predict, tested.version_2, tested.config.evals.num_bins),
        "energy": lambda tested: Energy(tested.predict, tested.test, _hidden(tested)),
        "density": lambda tested: Density(
            tested.predict, tested.features, tested.test, _hidden(tested), tested.train()
        ),
    },
    headline="classification",
    describe=describe,
    preview=preview.draw_images,
    warning=lambda config, means: None,
)
