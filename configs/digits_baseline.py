"""Hard crop on scikit-learn's digits, the baseline.

python main.py --config=configs/digits_baseline.py:model=resnet8,epochs=60,seed=0
Real 8x8 images that come with scikit-learn; a minute on a CPU. Not in the paper.
pad_px: largest offset of the crop, in pixels.
smoothing: the control, constant label smoothing.
policy: none, randaugment, trivialaugment.
method: none, mixup, cutmix, cutout, random_erasing, soft_random_erasing, noise, online_label_smoothing, focal (and
  gamma=2), energy, sngp, duq, ddu.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **common.ARGUMENTS | dict(model="resnet8", epochs=60), pad_px=1)
    return common.digits_recipe(common.baseline("digits_baseline", "digits", args))
