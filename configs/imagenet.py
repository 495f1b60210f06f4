"""What the ImageNet configs share: the usual recipe for residual networks, scaled to the batch.

Goyal et al. (arXiv:1706.02677): learning rate 0.1 for 256 images and in proportion to the batch, 5 epochs of warm-up,
weight decay 1e-4 on the kernels alone. The schedule of the paper (arXiv:2211.04625, Appendix B) is not in hand: 300
epochs are ours. The rate follows from `batch_size`, the warm-up from the argument `epochs`.
"""

from __future__ import annotations

from types import SimpleNamespace

from ml_collections import ConfigDict

from configs import common

ARGUMENTS: dict[str, float | int | str] = {
    **common.ARGUMENTS,
    "dataset": "imagenet",
    "model": "resnet50",
    "epochs": 300,
}
WARMUP_EPOCHS = 5.0


def config_of(name: str, arg: SimpleNamespace) -> ConfigDict:
    """Random resized crops, hard targets; images are read, decoded and cut by the host."""
    config = common.base(name, arg.dataset, arg)
    config.batch_size = 1024  # global, over all devices and processes
    config.eval_batch_size = 1024
    config.model.stem = "imagenet"
    config.optimizer.learning_rate = config.get_ref("batch_size").to_float() * (0.1 / 256)
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decayed = "kernels"
    config.optimizer.warmup_epochs = min(WARMUP_EPOCHS, arg.epochs / 4)
    config.augment.crop = "random_resized"
    config.augment.scale_min = 0.08  # random resized crop: share of the image's area
    config.augment.scale_max = 1.0
    config.augment.fill = "mean"
    config.evals.final = (*config.evals.final, "v2")  # nothing without data.v2_dir
    config.data.loader = "tfdata"
    config.data.update(common.IMAGE_FILES)
    config.data.v2_dir = ""  # of ImageNet-V2, to be tested on at the end
    return config


def baseline(name: str, arg: SimpleNamespace) -> ConfigDict:
    """Hard targets; with arg.smoothing, constant label smoothing; with a soft method, targets by it."""
    config = config_of(name, arg)
    common.hard_crop_targets(config, arg)
    return config


def soft(name: str, arg: SimpleNamespace) -> ConfigDict:
    """Soft crop and resize with softened targets and weights; with arg.smoothing, constantly smoothed targets."""
    config = config_of(name, arg)
    common.soft_crop(config, arg)
    config.augment.crop = "soft_resized"
    return config
