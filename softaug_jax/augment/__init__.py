"""Augmentations on the device. Each is a pure function that also says how much of the image it left visible."""

from softaug_jax.augment.chain import Augmented, Chain, Member
from softaug_jax.augment.crop import HardCrop, SoftCrop
from softaug_jax.augment.erase import Cutout, RandomErasing
from softaug_jax.augment.flip import Flip
from softaug_jax.augment.jitter import ColorJitter, Grayscale
from softaug_jax.augment.mix import CutMix, Mixup
from softaug_jax.augment.noise import AdditiveNoise, NoisyFill
from softaug_jax.augment.pair import Pair
from softaug_jax.augment.policy import RandAugment, TrivialAugment
from softaug_jax.augment.resized_crop import ResizedCrop
from softaug_jax.augment.transform import Normalize, Transform
from softaug_jax.augment.window import HardWindow, SoftWindow

__all__ = [
    "AdditiveNoise",
    "Augmented",
    "Chain",
    "ColorJitter",
    "CutMix",
    "Cutout",
    "Flip",
    "Grayscale",
    "HardCrop",
    "HardWindow",
    "Member",
    "Mixup",
    "NoisyFill",
    "Normalize",
    "Pair",
    "RandAugment",
    "RandomErasing",
    "ResizedCrop",
    "SoftCrop",
    "SoftWindow",
    "Transform",
    "TrivialAugment",
]
