"""What a wrong --config is answered with, and what --help says."""

import re

import pytest
from ml_collections.config_flags.config_path import get_value

from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of
from tests.train.helpers import main

DIGITS = "--config=configs/digits_sa.py"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            [DIGITS, "--config.augment.sigmma=0.2"],
            "--config.augment.sigmma=0.2: the config has no field 'sigmma'. Did you",
        ),
        ([DIGITS, "--config.augmnt.sigma=0.2"], "--config.augmnt.sigma=0.2: the config has no field 'augmnt'. Did you"),
        ([DIGITS, "--config.augment=soft"], "--config.augment=soft would set many fields. Set one, as in --config."),
        ([DIGITS, "--config.augment.sigma=x"], "--config.augment.sigma=x: could not convert string to float: 'x'"),
        (["--config=configs/digits_sa"], "--config=configs/digits_sa: there is no such file. Name a file, for example"),
        (["--config=configs/digits_sa.py:seed=x"], "config argument 'seed=x': 'x' is not of type int."),
        ([], "--config is missing. Name a file, for example --config=configs/digits_sa.py."),
        ([DIGITS, "seed=1"], "'seed=1' is not understood: options begin with --"),
    ],
)
def test_each_mistake_is_named(options, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        config_of(options)


@pytest.mark.parametrize(
    ("file", "option", "made_for", "recipe"),
    [
        ("cifar100_baseline.py:method=cutout", "dataset=cifar10", "cifar100", "cifar10_baseline.py"),
        ("cifar10_sa.py", "dataset=digits", "cifar10", "digits_sa.py"),
        ("cifar10_sa.py", "dataset=imagenette", "cifar10", "imagenet_sa.py:dataset=imagenette"),
        ("imagenet_baseline.py", "dataset=cifar10", "imagenet", "cifar10_baseline.py"),
        ("simsiam.py", "dataset=digits", "cifar10", "simsiam.py:dataset=digits"),
        ("simsiam.py", "pairs.method=barlow_twins", "simsiam", "barlow_twins.py"),
    ],
)
def test_an_option_that_would_apply_half_of_a_recipe_is_refused(file, option, made_for, recipe):
    said = f"--config.{option} would leave the rest of configs/{file.partition(':')[0]}, which is made for {made_for}, "
    with pytest.raises(UsageError, match=f"{re.escape(said)}as it is. Use --config=configs/{recipe}.$"):
        config_of([f"--config=configs/{file}", f"--config.{option}"])
    field, value = option.split("=")
    made = config_of([f"--config=configs/{recipe}", f"--config.{option}"])  # its own value may be given
    assert get_value(field, made) == value


def test_the_data_set_is_free_where_it_chooses_among_finished_runs_and_in_a_config_of_ones_own(tmp_path):
    for test in ("occlusion", "calibration"):
        assert config_of([f"--config=configs/{test}.py", "--config.dataset=digits"]).dataset == "digits"
    own = tmp_path / "own.py"
    unknown = ["--config=configs/simsiam.py", "--config.dataset=mnist"]  # for validate, which names the known ones
    assert config_of(unknown).dataset == "mnist"
    for copied in ("cifar10_sa", "simsiam"):
        own.write_text(f"from configs.{copied} import get_config\n")
        assert config_of([f"--config={own}", "--config.dataset=cifar100"]).dataset == "cifar100"


def test_help_has_the_options_of_main():
    out, _ = main("--help").communicate(timeout=120)
    for name in ("config", "workdir", "mode", "coordinator", "heartbeat_timeout"):
        assert f"  --{name}: " in out
