"""Soft Augmentation on CIFAR-10 (arXiv:2211.04625, Table 2, column SA).

python main.py --config=configs/cifar10_sa.py:model=resnet18,epochs=500,seed=0
ResNet-18, 500 epochs: paper 3.51 ± 0.08 % top-1 error (n = 3); ours: not yet measured.
mode: none, target (Eq. 4), weight (Eq. 5), target_and_weight (Eq. 6).
smoothing: the control, constant label smoothing under the soft crop's distribution instead of softening.
policy: none, randaugment, trivialaugment.
method: none, mixup, cutmix, cutout, random_erasing, soft_random_erasing, noise, online_label_smoothing, focal (and
  gamma=2), energy, sngp, duq, ddu.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **common.ARGUMENTS, mode="target_and_weight")
    return common.soft("cifar10_sa", "cifar10", args)
