"""Occlusion robustness of finished runs or imported weights (arXiv:2211.04625, section 4.3.3, Figs. 4 and 5).

python main.py --config=configs/occlusion.py --config.runs=runs/baseline,runs/sa [--workdir=DIR]
python main.py --config=configs/occlusion.py:weights=resnet50.npz,model=resnet50,stem=imagenet,dataset=imagenet
runs: workdirs, or folders that hold workdirs, separated by commas; as an argument after the colon, a single one.
weights: an .npz file of softaug_jax.models.weights or import_torchvision; with model, stem and dataset.
draws: random places of the square an image. A network is run draws * len(fills) * (len(shares) - 1) + len(fills) times.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; `arg` is "key=value,..." from the command line."""
    args = common.parse_arg(arg, **common.TEST_ARGUMENTS, draws=5)
    config = common.test("occlusion", args)
    config.shares = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the image's area; the paper's lambda
    config.draws = args.draws
    config.fills = ("mean", "black", "noise")  # the paper does not say; the first one's examples are drawn
    config.examples = 4  # test images in the figure of examples, for the first network of the first two groups
    return config
