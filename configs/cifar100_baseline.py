"""Hard crop on CIFAR-100, the baseline of arXiv:2211.04625, Table 2.

python main.py --config=configs/cifar100_baseline.py:model=resnet18,epochs=500,seed=0
ResNet-18, 500 epochs: paper 20.80 ± 0.11 % top-1 error (n = 3); ours: not yet measured.
pad_px: largest offset of the crop, in pixels; 16 is the paper's aggressive one.
smoothing: the control, constant label smoothing.
policy: none, randaugment, trivialaugment.
method: none, mixup, cutmix, cutout, random_erasing, soft_random_erasing, noise, online_label_smoothing, focal (and
  gamma=2), energy, sngp, duq, ddu.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **common.ARGUMENTS, pad_px=4)
    return common.baseline("cifar100_baseline", "cifar100", args)
