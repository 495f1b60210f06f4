"""What the configs share: the paper's defaults, and how `--config=FILE:key=value,...` is read."""

from __future__ import annotations

from math import pi
from types import SimpleNamespace

from ml_collections import ConfigDict, config_dict


def parse_arg(arg: str | None, **defaults: bool | int | float | str) -> SimpleNamespace:
    """Reads "key=value,key=value" over `defaults`, each value in the type of its default.

    Raises:
      ValueError: if a key is unknown, a value is of another type, or both `mode` and `smoothing` say how to soften.
    """
    values, typed = dict(defaults), set()
    for item in filter(None, (arg or "").split(",")):
        key, separator, text = item.partition("=")
        known = ", ".join(f"{name}={value}" for name, value in defaults.items())
        if not separator or key not in defaults:
            raise ValueError(f"config argument {item!r} is unknown. Known arguments, with their defaults: {known}.")
        try:
            values[key] = _TRUTH[text] if isinstance(defaults[key], bool) else type(defaults[key])(text)
        except (KeyError, ValueError):
            kind = type(defaults[key]).__name__
            raise ValueError(f"config argument {item!r}: {text!r} is not of type {kind}.") from None
        typed.add(key)
    if "mode" in typed and values["mode"] != "none" and values.get("smoothing"):  # by default the mode gives way
        raise ValueError(
            f"config arguments 'mode={values['mode']}' and 'smoothing={values['smoothing']:g}' exclude each other: "
            "softening is by visibility, or constant. Leave one out."
        )
    return SimpleNamespace(**values)


_TRUTH = {"true": True, "false": False}

# Of every config. gamma is the focal loss's exponent; smoothing is constant label smoothing.
ARGUMENTS: dict[str, float | int | str] = dict(
    model="resnet18", epochs=500, seed=0, policy="none", method="none", gamma=1.0, smoothing=0.0
)
# Of every test of finished runs.
TEST_ARGUMENTS: dict[str, int | str] = dict(runs="", weights="", dataset="", model="", stem="cifar", seed=0)
_FINAL = ("classification", "calibration", "occlusion")
METHODS: dict[str, dict[str, str | float | tuple[str, ...]]] = {
    "none": {},
    "mixup": {"augment.mix": "mixup"},
    "cutmix": {"augment.mix": "cutmix"},
    "cutout": {"augment.erase": "cutout"},
    "random_erasing": {"augment.erase": "random"},
    "soft_random_erasing": {"augment.erase": "soft_random"},
    "noise": {},
    "online_label_smoothing": {"loss.online_smoothing": 0.5},
    "focal": {},
    # Of Table 3. The bounds are those of their papers for WRN-28-10 on CIFAR.
    "energy": {"evals.final": (*_FINAL, "energy")},
    "sngp": {"model.head": "sngp", "model.spectral_bound": 6.0},
    "duq": {"model.head": "duq"},
    "ddu": {"model.spectral_bound": 3.0, "evals.final": (*_FINAL, "density")},
}
# Fields that only a method's configs have, under the method's name.
OWN_FIELDS: dict[str, dict[str, bool | float | int]] = {
    "noise": {"sigma": 0.5},  # the largest share of noise in an image
    "sngp": {
        "num_features": 1024,  # random features of the Gaussian process
        "amplitude": 8.0,  # the prior's standard deviation
        "length_scale": 2.0,  # of its kernel
        "ridge": 1.0,  # its prior precision
        "momentum": 0.999,  # of the precision matrix's moving average
        "mean_field": pi / 8,  # how much the variance divides the logits; 0: not at all
    },
    "duq": {
        "embedding_dim": 512,  # of each class
        "length_scale": 0.1,  # of the kernel
        "momentum": 0.999,  # of the centroids' moving average
        "gradient_penalty": 0.5,  # its weight; 0: none, and no second pass
    },
    "ddu": {"sensitive": True},  # leaky ReLU and pooled shortcuts, which only wide residual networks offer
}
# How methods that hide something soften, where the crop is hard: mode and k.
SOFTENED: dict[str, tuple[str, float]] = {
    "soft_random_erasing": ("target", 1.0),  # what arXiv:2507.16427 found to help
    "noise": ("target_and_weight", 2.0),
}


def base(name: str, dataset: str, arg: SimpleNamespace) -> ConfigDict:
    """Hard-crop training of `dataset` by the paper's CIFAR recipe (arXiv:2211.04625, section 4.3.1)."""
    config = ConfigDict()
    add_run(config, name, dataset, arg)
    config.batch_size = 128  # global, over all devices and processes
    config.optimizer.update({"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4})
    config.augment = _augmentation(dataset, arg)
    config.soften = ConfigDict({"mode": "none", "k": 2.0, "p_max": 1.0})
    config.soften.p_min = config_dict.placeholder(float)  # None: chance, 1 / num_classes
    config.loss = ConfigDict(
        {
            "weighting": "per_example",  # per_example (Eq. 5), or batch_mean: mean(weight) * mean(loss)
            "normalize_weights": False,  # divide by the weights' sum instead of the batch size
            "focal_gamma": 0.0,  # exponent of the focal loss; 0: cross entropy
            "online_smoothing": 0.0,  # share of the class's moving target in an example's target
        }
    )
    config.evals = ConfigDict(
        {
            "periodic": ("classification", "calibration"),
            "final": _FINAL,  # also energy, density
            "num_bins": 10,
            "occlusion_shares": (0.0, 0.2, 0.4, 0.6, 0.8),
            "occlusion_draws": 1,
            "occlusion_fill": "mean",
        }
    )
    add_method(config, arg.method, arg.gamma)
    return config


def add_run(config: ConfigDict, name: str, dataset: str, arg: SimpleNamespace) -> None:
    """Sets what every run has, whatever it learns."""
    config.name = name
    config.dataset = dataset
    config.seed = arg.seed
    config.epochs = arg.epochs
    config.eval_batch_size = 1000
    config.eval_every_epochs = (config.get_ref("epochs") + 49) // 50  # some fifty times in all
    config.checkpoint_every_epochs = (config.get_ref("epochs") + 49) // 50
    config.model = ConfigDict(
        {
            "name": arg.model,
            "dtype": "auto",  # auto: bfloat16 on TPU and GPU, float32 on CPU
            "stem": "cifar",  # cifar: 3x3 at full resolution; imagenet: the strided stem for 224 pixels
            "norm_group": 0,  # examples that BatchNorm takes its statistics over; 0: the global batch
            "head": "linear",  # linear, sngp or duq, which need the fields that method=sngp or duq adds
            "spectral_bound": 0.0,  # on every convolution's spectral norm; 0: none
        }
    )
    config.optimizer = ConfigDict(
        {
            "warmup_epochs": 0.0,  # linear from 0, before the cosine
            "decayed": "all",  # weight decay on all parameters, or on kernels: not on BatchNorm and biases
        }
    )
    config.data = ConfigDict(
        {
            "dir": "",  # "": $TFDS_DATA_DIR, else ~/tensorflow_datasets
            "images_per_class": 0,  # train on the first so many of each class, in the stored order; 0: on all
            "download": True,  # let TFDS download a set that is not prepared, where the network allows
            "loader": "device",  # "device": the whole set in device memory; "tfdata": read by the host
            "steps_per_dispatch": 0,  # device loader, at most an epoch's; 0: 64 on TPU and GPU, 1 on CPU
        }
    )


def _augmentation(dataset: str, arg: SimpleNamespace) -> ConfigDict:
    """The hard crop, and what every other augmentation would have."""
    return ConfigDict(
        {
            "flip": True,
            "policy": arg.policy,  # none, randaugment or trivialaugment
            "policy_num_ops": 2,  # RandAugment's N
            "policy_magnitude": 9,  # RandAugment's M, of 0 to 30
            "crop": "hard",  # hard, soft or none
            "pad_px": 4,  # hard crop: offsets are uniform in [-pad_px, pad_px]
            "sigma": 0.3,  # soft crop: standard deviation of the offset, as a fraction of the longer edge
            "rounding": "truncate",  # soft crop, to whole pixels: truncate or nearest
            "fill": "black",  # what a crop uncovers: black, or mean for the mean colour
            "fill_noise": 0.0,  # standard deviation of noise in what a crop uncovers, after normalisation
            "uncropped_final_epochs": 0,
            "erase": "none",  # none, cutout, random, or soft_random, whose visibility is 1 - the erased share
            "cutout_px": 8 if dataset == "cifar100" else 16,  # as in its paper
            "erase_probability": 0.5,
            "mix": "none",  # none, mixup or cutmix
            "mix_alpha": 1.0,  # of the Beta distribution of an image's own share
            "mix_probability": 0.5,  # CutMix: of a batch
        }
    )


def add_method(config: ConfigDict, method: str, gamma: float) -> None:
    """Sets the fields of a comparison method (arXiv:2211.04625, Tables 1 and 3; random erasing; CutMix; noise).

    Raises:
      ValueError: if there is no such method, or `gamma` is given to one that has none.
    """
    if method not in METHODS:
        raise ValueError(f"config argument 'method={method}' is unknown. Choose from {', '.join(METHODS)}.")
    if method != "focal" and gamma != ARGUMENTS["gamma"]:
        raise ValueError(f"config argument 'gamma={gamma:g}' is the focal loss's: it needs method=focal.")
    if method in OWN_FIELDS:
        config[method] = ConfigDict(OWN_FIELDS[method])
    config.update_from_flattened_dict(METHODS[method])
    if method == "focal":
        config.loss.focal_gamma = gamma


def hard_crop_targets(config: ConfigDict, arg: SimpleNamespace) -> None:
    """Hard targets, unless arg.smoothing makes them constantly soft, or the method by what it hides."""
    if arg.smoothing:
        smooth_constantly(config, arg.smoothing)
    elif arg.method in SOFTENED:
        config.soften.mode, config.soften.k = SOFTENED[arg.method]


def soft_crop(config: ConfigDict, arg: SimpleNamespace) -> None:
    """Replaces the hard crop by the paper's soft crop: sigma 0.3, k 2, p_min chance; arg.smoothing is the control."""
    config.augment.crop = "soft"
    config.augment.fill = "mean"
    # The authors' code trains its last 20 of 500 epochs uncropped; the paper does not say so.
    config.augment.uncropped_final_epochs = config.get_ref("epochs") // 25
    config.soften.mode = arg.mode
    if arg.smoothing:
        smooth_constantly(config, arg.smoothing)


def smooth_constantly(config: ConfigDict, smoothing: float) -> None:
    """The control: every target has confidence 1 - smoothing, whatever is visible (p_min = p_max in Eq. 7)."""
    if not 0 < smoothing < 1:
        raise ValueError(f"config argument 'smoothing={smoothing:g}' must be between 0 and 1.")
    config.soften.mode = "target"
    config.soften.p_min = config.soften.p_max = 1.0 - smoothing


def baseline(name: str, dataset: str, arg: SimpleNamespace) -> ConfigDict:
    """Hard crop and hard targets; with arg.smoothing, constant label smoothing; with a soft method, targets by it."""
    config = base(name, dataset, arg)
    config.augment.pad_px = arg.pad_px
    hard_crop_targets(config, arg)
    return config


def soft(name: str, dataset: str, arg: SimpleNamespace) -> ConfigDict:
    """Soft crop with softened targets and weights; with arg.smoothing, constantly smoothed targets instead."""
    config = base(name, dataset, arg)
    soft_crop(config, arg)
    return config


def digits_recipe(config: ConfigDict) -> ConfigDict:
    """1,437 images of 8x8 pixels: smaller batches, and no flip, since a mirrored digit is another sign."""
    config.batch_size = 64
    config.eval_batch_size = 360
    config.augment.flip = False
    config.augment.cutout_px = 4  # half of the edge, as on CIFAR-10
    return config


# How image files (ImageNet) are read, beside where they are.
IMAGE_FILES: dict[str, bool | int] = {
    "size_px": 224,  # what the network sees
    "resize_px": 256,  # shorter edge in tests, of which the centre is seen
    "skip_unreadable": True,  # a damaged file is named, counted and left out; False: it ends the run
    "threads": 0,  # that decode; 0: one a core
}


def test(name: str, arg: SimpleNamespace) -> ConfigDict:
    """What every test of finished runs has; main.py tests what a config with `runs` names, and trains nothing."""
    return ConfigDict(
        {
            "name": name,
            "test": name,
            "runs": arg.runs,  # workdirs, or folders that hold workdirs, separated by commas
            "weights": arg.weights,  # an .npz file of imported weights
            "dataset": arg.dataset,  # of the weights; of runs, the only one that is tested, if it is not ""
            "model": {"name": arg.model, "stem": arg.stem, "dtype": "auto"},  # of the weights
            "data": {
                "dir": "",  # "": a run's own; of weights $TFDS_DATA_DIR
                "download": True,  # let TFDS download a set that is not prepared, where the network allows
                **IMAGE_FILES,  # of weights; runs have their own
            },
            "eval_batch_size": 1000,
            "seed": arg.seed,  # of the squares' places, or of the halves that temperatures are fitted on
        }
    )
