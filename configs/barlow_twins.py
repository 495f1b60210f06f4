"""Barlow Twins with Soft Augmentation, which arXiv:2211.04625, section 4.4, names and does not test.

python main.py --config=configs/barlow_twins.py:dataset=cifar10,hypothesis=sa1
ResNet-18: the paper has no number; ours: not yet measured.
dataset: cifar10, cifar100 or digits.
hypothesis: none, equal weights; sa1 (Eq. 9), pairs that overlap little count less; sa2 (Eq. 10), the opposite.
k, p_min: of the weight's curve.
learning_rate: of 256 images; its paper's 0.2 is LARS's, which SGD can't use.
A redundancy loss has no example's share to weight: the weights are those of the cross-correlation, our own reading.
Its paper trains on ImageNet with LARS and a projector of 8,192 dimensions; this is SGD and 2,048, as for SimSiam.
"""

from ml_collections import ConfigDict

from configs import common, pairs


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **pairs.ARGUMENTS | dict(learning_rate=0.01))
    config = pairs.config_of("barlow_twins", "barlow_twins", args)
    config.model.projector_layers = 3
    return config
