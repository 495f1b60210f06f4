"""What is timed side by side: augmentations, each with every network, batch, loader, dispatch and dtype asked for."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from softaug_jax.checks import UsageError, check_choice
from softaug_jax.cli import config_of
from softaug_jax.commands import positive, several

FLOOR = "constant"


class Augmentation(NamedTuple):
    """A config of the data set, its arguments, and fields of it."""

    config: str
    arguments: str = ""
    fields: tuple[str, ...] = ()


USUAL = {
    FLOOR: Augmentation("baseline", fields=("--config.augment.crop=none", "--config.augment.flip=False")),
    "hard_crop": Augmentation("baseline"),
    "soft_crop": Augmentation("sa"),
    "soft_crop+ra": Augmentation("sa", ",policy=randaugment"),
}
METHODS = {method: Augmentation("baseline", f",method={method}") for method in ("sngp", "duq", "ddu")}  # of Table 3
AUGMENTATIONS = {**USUAL, **METHODS}
MORE_THAN_THREE_PASSES = ("duq",)  # whose step differentiates a gradient too, so that its FLOPs are not thrice a pass's


class Setting(NamedTuple):
    """What cases that are compared with one another have in common."""

    model: str
    batch_size: int
    loader: str
    steps_per_dispatch: int
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.model}, batch {self.batch_size}, {self.loader} x {self.steps_per_dispatch}, {self.dtype}"


def settings(options: argparse.Namespace) -> Iterator[Setting]:
    """Every combination of what was asked for, with the steps per dispatch that run; with tf.data that is one."""
    import jax.numpy as jnp

    from softaug_jax.data.info import info
    from softaug_jax.data.schedule import Schedule
    from softaug_jax.models import compute_dtype
    from softaug_jax.train.feed import steps_of_dispatch

    for model, batch, loader, dtype in itertools.product(
        options.model, options.batch_size, options.loader, options.dtype
    ):
        schedule = Schedule(options.random or info(options.dataset).num_train, batch, epochs=1)
        asked = options.steps_per_dispatch if loader == "device" else [1]
        for many in dict.fromkeys(steps_of_dispatch(n, schedule) for n in asked):
            yield Setting(model, batch, loader, many, jnp.dtype(compute_dtype(dtype)).name)


def config_for(dataset: str, augmentation: str, setting: Setting, extra: Sequence[str]) -> Any:
    """The config of one case.

    Raises:
      UsageError: if a name or an option in `extra`, those of main.py, is unknown.
    """
    try:
        check_choice("--cases", augmentation, AUGMENTATIONS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    chosen = AUGMENTATIONS[augmentation]
    return config_of(
        [
            f"--config=configs/{dataset}_{chosen.config}.py:model={setting.model},epochs=500{chosen.arguments}",
            f"--config.batch_size={setting.batch_size}",
            f"--config.data.loader={setting.loader}",
            f"--config.data.steps_per_dispatch={setting.steps_per_dispatch}",
            f"--config.model.dtype={setting.dtype}",
            *chosen.fields,
            *extra,
        ]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what says which cases there are; each of model, batch_size, loader ... may be a list with commas."""
    words, counts = several(str), several(positive)
    parser.add_argument("--dataset", default="cifar10", choices=["cifar10", "cifar100", "digits"])
    parser.add_argument("--data_dir", default="", help="where the set is prepared")
    parser.add_argument("--random", type=positive, default=0, help="so many random images of its shape instead")
    parser.add_argument("--image_px", type=positive, default=0, help="side of the random images, as in 224")
    parser.add_argument("--model", type=words, default=["resnet18"])
    parser.add_argument("--batch_size", type=counts, default=[128])
    parser.add_argument("--loader", type=words, default=["device"], help="device, tfdata")
    parser.add_argument(
        "--steps_per_dispatch", type=counts, default=[0], help="an epoch's at most; default: 64, on CPU 1"
    )
    parser.add_argument("--dtype", type=words, default=["auto"], help="auto, float32, bfloat16")
    parser.add_argument("--cases", type=words, default=list(USUAL), help=f"of {','.join(AUGMENTATIONS)}")
    parser.add_argument("--steps", type=positive, default=0, help="of a round; default: whole epochs of --seconds")


def to_words(options: argparse.Namespace) -> list[str]:
    """The options that `add_options` adds, as words of a command line."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    default = parser.parse_args([])
    text = lambda value: ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return [
        f"--{name}={text(getattr(options, name))}"
        for name, value in vars(default).items()
        if getattr(options, name) != value
    ]
