"""What a wrong --config is answered with."""

import re

import pytest

from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of

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
