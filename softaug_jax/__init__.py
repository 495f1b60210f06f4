"""Soft Augmentation (Liu et al., CVPR 2023, arXiv:2211.04625): the pure core, for any JAX code.

An augmentation says how much of the image it left visible; softening turns that into a target and a weight.

>>> import jax, jax.numpy as jnp, softaug_jax as sa
>>> offsets = sa.sample_offsets(jax.random.key(0), (128,), size=(32, 32))
>>> images = sa.crop(jnp.zeros((128, 32, 32, 3)), offsets)
>>> visibility = sa.crop_visibility(offsets, (32, 32))
>>> targets, weights = sa.soften(jnp.zeros(128, int), visibility, num_classes=10)
>>> loss = sa.soft_cross_entropy(jnp.zeros((128, 10)), targets, weights).mean()
"""

from softaug_jax.crops import box_iou, box_visibility, crop, crop_visibility, sample_boxes, sample_offsets
from softaug_jax.losses import focal_loss, soft_cross_entropy
from softaug_jax.metrics import calibration_bins, expected_calibration_error
from softaug_jax.softening import confidence, pair_confidence, soft_targets, soften

__all__ = [
    "box_iou",
    "box_visibility",
    "calibration_bins",
    "confidence",
    "crop",
    "crop_visibility",
    "expected_calibration_error",
    "focal_loss",
    "pair_confidence",
    "sample_boxes",
    "sample_offsets",
    "soft_cross_entropy",
    "soft_targets",
    "soften",
]
__version__ = "0.1.0"
