import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from configs import common
from softaug_jax import cli
from softaug_jax.checks import UsageError
from softaug_jax.softening import HYPOTHESES
from softaug_jax.train import distributed, setup
from softaug_jax.train.validate import check_train, validate
from tests.train.helpers import ROOT, config


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model__name", "vgg", "config.model.name = 'vgg' is unknown. Choose from resnet8"),
        ("dataset", "mnist", "config.dataset = 'mnist' is unknown. Choose from cifar10"),
        ("soften__mode", "soft", "config.soften.mode = 'soft' is unknown. Choose from none, target"),
        ("augment__sigma", 0.0, "config.augment.sigma = 0.0 must be greater than 0"),
        ("soften__k", -1.0, "config.soften.k = -1.0 must be greater than 0"),
        ("seed", -1, "config.seed = -1 must be at least 0"),
        ("seed", 2**32, "config.seed = 4294967296 must be at most 4294967295"),
        ("epochs", 0, "config.epochs = 0 must be at least 1"),
        ("soften__p_min", 1.5, "config.soften.p_min = 1.5 must be at most 1"),
        ("soften__p_max", 0.05, "config.soften.p_max = 0.05 is below chance"),
        ("batch_size", 100, r"config.batch_size = 100 does not divide over 8 devices.*--config.batch_size=96 or 104"),
        ("batch_size", 4, r"does not divide over 8 devices.*--config.batch_size=8"),
        ("model__norm_group", 48, "config.model.norm_group = 48 does not divide config.batch_size = 64. Use a divisor"),
        ("model__norm_group", -1, "config.model.norm_group = -1 must be at least 0"),
        ("batch_size", 8000, "more than the 1437 training images of digits"),
        ("data__images_per_class", -1, "config.data.images_per_class = -1 must be at least 0"),
        ("data__images_per_class", 6, "config.batch_size = 64 is more than the 60 training images of digits"),
        ("evals__final", ("speed",), "config.evals.final = 'speed' is unknown"),
        ("evals__occlusion_shares", (0.2, 1.2), "config.evals.occlusion_shares = 1.2 must be at most 1"),
        ("augment__policy", "autoaugment", "config.augment.policy = 'autoaugment' is unknown. Choose from none, rand"),
        ("augment__policy_magnitude", 31, "config.augment.policy_magnitude = 31 must be at most 30"),
        ("augment__erase", "all", "config.augment.erase = 'all' is unknown. Choose from none, cutout"),
        ("augment__mix_alpha", 0.0, "config.augment.mix_alpha = 0.0 must be greater than 0"),
        ("loss__online_smoothing", 1.5, "config.loss.online_smoothing = 1.5 must be at most 1"),
        ("loss__focal_gamma", -1.0, "config.loss.focal_gamma = -1.0 must be at least 0"),
        ("model__stem", "vit", "config.model.stem = 'vit' is unknown. Choose from cifar, imagenet"),
        ("model__stem", "imagenet", "model.stem = 'imagenet' is not offered by resnet8, only by resnet18"),
        ("optimizer__decayed", "some", "config.optimizer.decayed = 'some' is unknown. Choose from all, kernels"),
        ("optimizer__warmup_epochs", 2, "config.optimizer.warmup_epochs = 2 leaves nothing of config.epochs = 2"),
        ("optimizer__warmup_epochs", 1.99, "warmup_epochs = 1.99 leaves nothing of .* = 2, which are 45 steps, to the"),
        ("augment__uncropped_final_epochs", 9, "config.augment.uncropped_final_epochs = 9 must be at most 2"),
    ],
)
def test_each_error_names_field_value_and_what_is_allowed(field, value, words):
    with pytest.raises(UsageError, match=words):
        validate(config(**{field: value}), num_devices=8)


def test_mixing_needs_an_even_number_of_images_on_a_device():
    words = r"mixes images in pairs, and config.batch_size = 24 leaves an odd number to a device. Use a multiple of 16"
    with pytest.raises(UsageError, match=words):
        validate(config(arg="method=mixup", batch_size=24), num_devices=8)
    validate(config(batch_size=24), num_devices=8)


def test_what_can_not_be_measured_or_cancels_out_is_refused():
    fields = dict(arg="method=ddu,model=wideresnet10_1", batch_size=8, data__images_per_class=1)
    with pytest.raises(UsageError, match="images_per_class = 1 leaves no class a covariance, which 'density' in .* at"):
        validate(config(**fields), num_devices=8)
    validate(config(**fields, evals__final=("classification",)), num_devices=8)
    with pytest.raises(UsageError, match="normalize_weights = True divides by the mean weight that .* = 'batch_mean'"):
        validate(config(loss__weighting="batch_mean", loss__normalize_weights=True), num_devices=8)


def test_what_would_be_blank_or_can_not_be_cut_is_refused():
    words = "cutout_px = 16 covers all of an image of 8 x 8 pixels, wherever its square lies. Use less than 16"
    with pytest.raises(UsageError, match=words):
        validate(config(arg="method=cutout", augment__cutout_px=16), num_devices=8)
    files = dict(dataset="imagenette", data__loader="tfdata")
    with pytest.raises(
        UsageError, match="is image files, which the config doesn't say how to cut. Start from configs/"
    ):
        validate(config("cifar10_sa", "", augment__crop="soft_resized", **files), num_devices=8)
    with pytest.raises(UsageError, match="pairs of views are cut from images in memory. Use cifar10, cifar100, digits"):
        validate(config("simsiam", "dataset=imagenette", data__loader="tfdata"), num_devices=8)


def shipped():
    """Names of all configs that train, as main.py may be given them: those of no tests of finished runs."""
    names = (path.stem for path in (ROOT / "configs").glob("*.py"))
    modules = {name: importlib.import_module(f"configs.{name}") for name in names if name != "__init__"}
    configs = {name: module.get_config() for name, module in modules.items() if hasattr(module, "get_config")}
    return sorted(name for name, chosen in configs.items() if "runs" not in chosen)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_config_is_valid(name):
    network = "resnet18" if "imagenet" in name else "resnet20"
    args = ["", f"epochs=1,seed=3,model={network}"]
    if name in ("simsiam", "barlow_twins"):
        args += [f"hypothesis={hypothesis}" for hypothesis in HYPOTHESES]
        args.append("dataset=digits")
    else:
        args += [f"method={method}" for method in common.METHODS if method != "ddu"] + ["smoothing=0.1"]
        args += ["policy=randaugment", *(["method=ddu,model=wideresnet28_10"] if network == "resnet20" else [])]
    for arg in args:
        validate(config(name, arg), num_devices=8)


def test_configs_of_every_kind_are_among_the_shipped():
    assert {"cifar10_baseline", "digits_sa", "simsiam", "barlow_twins", "imagenet_baseline", "imagenet_sa"} <= {
        *shipped()
    }


def test_a_batch_is_held_against_the_images_that_are_there_too():
    chosen = config(batch_size=64)
    validate(chosen, num_devices=1)
    with pytest.raises(UsageError, match="config.batch_size = 64 is more than the 63 training images of digits"):
        setup.build(chosen, 63)
    assert setup.build(chosen, 64).schedule.num_train == 64


def test_tests_that_need_more_images_than_are_there_are_refused():
    labels = np.array([*range(10), *range(9)])
    with pytest.raises(UsageError, match="'density', which needs two .* and digits has a single one of 9. Use other"):
        check_train(config(arg="method=ddu,model=wideresnet10_1", batch_size=8), labels)
    check_train(config(batch_size=8), labels)
    pairs = config("simsiam", "dataset=digits", batch_size=8)
    with pytest.raises(UsageError, match="knn_k = 200 is more than the 19 training .* at most --config.evals.knn_k=19"):
        check_train(pairs, labels)
    pairs.evals.periodic, pairs.evals.final, pairs.data.images_per_class = (), ("probe",), 2
    validate(pairs, num_devices=8)
    check_train(pairs, labels)
    warm = config(batch_size=8, optimizer__warmup_epochs=1.9)
    validate(warm, num_devices=8)
    with pytest.raises(UsageError, match="warmup_epochs = 1.9 leaves nothing of .* = 2, which are 5 steps, to the"):
        check_train(warm, labels)
    with pytest.raises(UsageError, match="config.batch_size = 8 is more than the 7 training images of digits"):
        check_train(pairs, labels[:7])


def test_an_option_that_changes_nothing_is_told_once_by_the_first_process(monkeypatch, capsys):
    argv = ["main.py", "--config=configs/digits_baseline.py", "--config.augment.sigma=0.5", "--config.augment.pad_px=2"]
    options = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, flag_values=options, sys_argv=argv)
    options(argv)
    chosen, typed = options.config, cli.typed(options)
    validate(chosen, 1, typed)
    said = "warning: --config.augment.sigma=0.5 changes nothing here: config.augment.crop is 'hard'.\n"
    assert capsys.readouterr() == ("", said)
    validate(chosen, 1)  # of no command line
    monkeypatch.setattr(distributed, "_peers", SimpleNamespace(is_first=False))
    validate(chosen, 1, typed)
    assert capsys.readouterr() == ("", "")
