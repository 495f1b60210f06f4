"""Random resized crop on ImageNet (arXiv:2211.04625, Table 2, columns Baseline and RA).

python main.py --config=configs/imagenet_baseline.py:model=resnet50,policy=none --config.data.dir=DIR
DIR holds train/ and val/ with a folder of JPEGs a class, or what TensorFlow Datasets prepared.
ResNet-50: paper 22.62 ± 0.01 % top-1 error (n = 3), with RandAugment 22.02 ± 0.02; ours: not yet measured.
model: resnet50, resnet101, resnet18, efficientnet_b0. dataset: imagenet, or imagenette, ten of its classes, to try.
policy: none, randaugment, trivialaugment. smoothing: constant label smoothing. method: as for CIFAR.
"""

from ml_collections import ConfigDict

from configs import common, imagenet


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    return imagenet.baseline("imagenet_baseline", common.parse_arg(arg, **imagenet.ARGUMENTS))
