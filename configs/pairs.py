"""What the self-supervised configs share: pairs of views, as Chen and He (CVPR 2021) cut CIFAR's (Appendix D)."""

from __future__ import annotations

from types import SimpleNamespace

from ml_collections import ConfigDict

from configs import common

# Of every config of pairs. learning_rate is that of 256 images: the batch's is in proportion.
ARGUMENTS: dict[str, float | int | str] = dict(
    dataset="cifar10",
    model="resnet18",
    epochs=800,
    seed=0,
    hypothesis="none",
    k=4.0,
    p_min=0.0,
    learning_rate=0.03,
)


def config_of(name: str, method: str, arg: SimpleNamespace) -> ConfigDict:
    """Training of a siamese network by `method`, and its tests: nearest neighbours, and a linear probe at the end.

    Raises:
      ValueError: if arg.k or arg.p_min are given to pairs of equal weights.
    """
    for field in ("k", "p_min"):
        if arg.hypothesis == "none" and (value := getattr(arg, field)) != ARGUMENTS[field]:
            raise ValueError(
                f"config argument '{field}={value:g}' is of the pairs' weights: it needs hypothesis=sa1 or sa2."
            )
    config = ConfigDict()
    common.add_run(config, name, arg.dataset, arg)
    config.batch_size = 512  # global, over all devices and processes
    config.optimizer.update({"momentum": 0.9, "nesterov": False, "weight_decay": 5e-4})
    config.optimizer.learning_rate = config.get_ref("batch_size").to_float() * (arg.learning_rate / 256)
    config.model.projector_layers = 2
    config.model.projection_dim = 2048
    config.model.predictor_dim = 512  # SimSiam's
    config.views = ConfigDict(
        {
            "flip": True,
            "scale_min": 0.2,  # share of the image's area that a crop has
            "scale_max": 1.0,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
            "jitter_probability": 0.8,
            "grayscale_probability": 0.2,
        }
    )
    config.pairs = ConfigDict(
        {
            "method": method,  # simsiam or barlow_twins
            "hypothesis": arg.hypothesis,  # none: equal weights; sa1: Eq. 9; sa2: Eq. 10
            "k": arg.k,
            "p_min": arg.p_min,
            "redundancy": 0.0051,  # Barlow Twins: weight of the off-diagonal terms, its paper's lambda
        }
    )
    config.evals = ConfigDict(
        {
            "periodic": ("knn",),
            "final": ("knn", "probe"),
            "knn_k": 200,
            "knn_temperature": 0.1,
            "probe_epochs": 100,
            "probe_batch_size": 256,
            "probe_learning_rate": 3.0,
            "probe_weight_decay": 0.0,
            "probe_augment": True,  # crops and flips for the probe's training; False: features computed once
            "num_bins": 10,
        }
    )
    if arg.dataset == "digits":
        _digits(config)
    return config


def _digits(config: ConfigDict) -> None:
    """1,437 grey images of 8x8 pixels: small batches, no flip (a mirrored digit is another sign), and larger crops."""
    config.batch_size = 64
    config.eval_batch_size = 360
    config.views.flip = False
    config.views.scale_min = 0.6
