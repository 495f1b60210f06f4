"""Soft Augmentation on ImageNet (arXiv:2211.04625, Table 2, columns SA and SA+RA).

python main.py --config=configs/imagenet_sa.py:model=resnet50,policy=none --config.data.dir=DIR
DIR holds train/ and val/ with a folder of JPEGs a class, or what TensorFlow Datasets prepared.
ResNet-50: paper 21.66 ± 0.02 % top-1 error (n = 3), with RandAugment 21.27 ± 0.05; ours: not yet measured.
model: resnet50, resnet101, resnet18, efficientnet_b0. dataset: imagenet, or imagenette, ten of its classes, to try.
mode: none, target (Eq. 4), weight (Eq. 5), target_and_weight (Eq. 6).
smoothing: the control, constant label smoothing under the soft crop's distribution instead of softening.
policy: none, randaugment, trivialaugment. method: as for CIFAR.
"""

from ml_collections import ConfigDict

from configs import common, imagenet


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **imagenet.ARGUMENTS, mode="target_and_weight")
    return imagenet.soft("imagenet_sa", args)
