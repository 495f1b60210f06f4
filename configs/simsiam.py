"""SimSiam with Soft Augmentation (arXiv:2211.04625, section 4.4 and Table 4).

python main.py --config=configs/simsiam.py:dataset=cifar10,hypothesis=sa1,learning_rate=0.2
ResNet-18, top-1 error: paper 9.87 ± 0.03 % with equal weights, 9.31 ± 0.01 % with SA#1 (n = 3); ours: not yet measured.
dataset: cifar10, cifar100 or digits.
hypothesis: none, equal weights; sa1 (Eq. 9), pairs that overlap little count less; sa2 (Eq. 10), the opposite.
k, p_min: of the weight's curve.
learning_rate: of 256 images. SimSiam's own is 0.03; Table 4 has 0.2, and 0.1 for SA#2, which we read so.
"""

from ml_collections import ConfigDict

from configs import common, pairs


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    return pairs.config_of("simsiam", "simsiam", common.parse_arg(arg, **pairs.ARGUMENTS))
