"""From `config.augment` to a classifier's chain of augmentations. Add your own by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softaug_jax import augment
from softaug_jax.augment import Chain, Member, Transform
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.schedule import Schedule
from softaug_jax.own import Entries

Fill = tuple[float, ...]  # the colour of what a crop uncovers, normalised; one value a channel, or one for all

# By the values of `policy`, `crop` and `erase`. A policy gets pixels in 0 to 255, before normalisation and crop; a crop
# and an eraser normalised images, in which 0 is the mean colour, the eraser after the crop. None: nothing is done.
POLICIES: Entries[Callable[[Any], Transform | None]] = Entries(
    ("config.augment",),
    {
        "none": lambda a: None,
        "randaugment": lambda a: augment.RandAugment(a.policy_num_ops, a.policy_magnitude),
        "trivialaugment": lambda a: augment.TrivialAugment(),
    },
)
CROPS: Entries[Callable[[Any, Fill], Transform | None]] = Entries(
    ("config.augment", "fill"),
    {
        "soft": lambda a, fill: _noisy(a, augment.SoftCrop(a.sigma, fill, a.rounding)),
        "hard": lambda a, fill: _noisy(a, augment.HardCrop(a.pad_px, fill)),
        "none": lambda a, fill: None,
        "random_resized": lambda a, fill: augment.HardWindow((a.scale_min, a.scale_max)),
        "soft_resized": lambda a, fill: augment.SoftWindow(a.sigma),
    },
)
ERASERS: Entries[Callable[[Any], Transform | None]] = Entries(
    ("config.augment",),
    {
        "none": lambda a: None,
        "cutout": lambda a: augment.Cutout(a.cutout_px),
        "random": lambda a: augment.RandomErasing(a.erase_probability, soft=False),
        "soft_random": lambda a: augment.RandomErasing(a.erase_probability, soft=True),
    },
)
CUT_BY_HOST = ("random_resized", "soft_resized")  # as it decodes: images of any size


def augmentations(config: Any, about: DatasetInfo, schedule: Schedule) -> Chain:
    """Flip, policy, normalise, crop, erase, noise, mix: the authors' order. What is uncovered is exactly the fill."""
    a = config.augment
    fill = {"mean": (0.0,), "black": tuple(-m / s for m, s in zip(about.mean, about.std, strict=True))}[a.fill]
    members = [
        _member("flip", augment.Flip() if a.flip else None),
        _member("policy", POLICIES[a.policy](a)),
        _member("normalize", augment.Normalize(about.mean, about.std)),
        _member("crop", CROPS[a.crop](a, fill), until_step=_last_cropped(config, schedule)),
        _member("erase", ERASERS[a.erase](a)),
        _member("noise", augment.AdditiveNoise(config.noise.sigma) if "noise" in config else None),
    ]
    mixes = {
        "none": None,
        "mixup": augment.Mixup(a.mix_alpha),
        "cutmix": augment.CutMix(a.mix_alpha, a.mix_probability),
    }
    return Chain(tuple(member for member in members if member is not None), mixes[a.mix])


def _member(name: str, transform: Transform | None, until_step: int | None = None) -> Member | None:
    return None if transform is None else Member(name, transform, until_step)


def _last_cropped(config: Any, schedule: Schedule) -> int | None:
    """The step at which the crop ends, or None. Not in the paper: the authors' code trains its last epochs without."""
    uncropped = config.augment.uncropped_final_epochs
    return schedule.step_of_epoch(config.epochs - uncropped) if uncropped else None


def _noisy(a: Any, crop: augment.SoftCrop | augment.HardCrop) -> Transform:
    return augment.NoisyFill(crop, a.fill_noise) if a.fill_noise else crop
