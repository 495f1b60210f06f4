"""Soft Augmentation on scikit-learn's digits (arXiv:2211.04625).

python main.py --config=configs/digits_sa.py:model=resnet8,epochs=60,seed=0
Real 8x8 images that come with scikit-learn; a minute on a CPU. Not in the paper.
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
    args = common.parse_arg(arg, **common.ARGUMENTS | dict(model="resnet8", epochs=60), mode="target_and_weight")
    return common.digits_recipe(common.soft("digits_sa", "digits", args))
