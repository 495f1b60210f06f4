"""Calibration of finished runs, of deep ensembles of them, or of imported weights (arXiv:2211.04625, Table 3).

python main.py --config=configs/calibration.py --config.runs=runs/baseline,runs/sa [--workdir=DIR]
python main.py --config=configs/calibration.py:weights=resnet50.npz,model=resnet50,stem=imagenet,dataset=imagenet
runs: workdirs, or folders that hold workdirs, separated by commas; as an argument after the colon, a single one.
weights: an .npz file of softaug_jax.models.weights or import_torchvision; with model, stem and dataset.
ensemble: for runs that differ by seed only, also the mean of their probabilities.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **common.TEST_ARGUMENTS, ensemble=True)
    config = common.test("calibration", args)
    config.num_bins = (10, 15)  # the paper has 10, much of what it compares with 15; figures have the first
    config.ensemble = args.ensemble
    return config
