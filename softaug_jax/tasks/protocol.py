"""What is learnt from the images, as one kind of training differs from another: everything else is the loop's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from softaug_jax.augment import Augmented
from softaug_jax.checks import Range, UsageError
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.schedule import Schedule
from softaug_jax.evals import Batches, Evaluator, Predict
from softaug_jax.models import Model


class Augmenter(Protocol):
    """From a batch to what the network sees: a Chain, or a Pair of views."""

    @property
    def members(self) -> tuple[Any, ...]:
        """Transforms by the names of their draws."""
        ...

    def augment(self, batch: Mapping[str, Any], key: jax.Array, step: jax.typing.ArrayLike = 0) -> Augmented:
        """Augments `batch["image"]` [B, H, W, C]; what the batch has no draws for is drawn from the step's key."""
        ...


class Softened(NamedTuple):
    """What a batch is trained on."""

    targets: jax.Array | None  # [B, N]; None where there are none to soften, in pairs
    weights: jax.Array  # [B]
    memory: Any = ()  # the objective's, of the steps before, where the loss needs it


def check_shape(what: str, values: Any, shape: tuple[int, ...]) -> None:
    """Raises UsageError for another shape, which would broadcast, so that an example's value counted for all."""
    if not isinstance(values, (jax.Array, np.ndarray)):
        raise UsageError(f"The {what} are a {type(values).__name__}; they must be an array of shape {shape}.")
    if values.shape != shape:
        raise UsageError(f"The {what} have shape {values.shape}; they must have {shape}.")


class Objective(Protocol):
    """What is minimised: from visibility to targets and weights, and from the network's outputs to a loss."""

    def initial_memory(self) -> Any:
        """What it remembers between steps, a pytree; mostly empty."""
        ...

    def soften(self, labels: jax.Array, visibility: jax.Array, share: jax.Array | None, memory: Any) -> Softened:
        """Targets and weights of labels int [B] at visibility [B]; `share` [B] is an image's own in a mixture."""
        ...

    def loss(self, outputs: Any, softened: Softened) -> jax.Array:
        """The batch's loss, a scalar."""
        ...

    def measure(self, outputs: Any, labels: jax.Array, seen: Augmented, memory: Any = ()) -> dict[str, jax.Array]:
        """Means over the batch, beside those of loss and weight, that are logged; `memory` is of the steps before."""
        ...

    def remember(self, memory: Any, outputs: Any, labels: jax.Array, step: jax.Array) -> Any:
        """The memory after a step."""
        ...


class Recipe(NamedTuple):
    """What a config describes, as far as tasks differ."""

    model: Model
    chain: Augmenter
    objective: Objective
    constant_rate: tuple[str, ...] = ()  # top-level names of parameters whose learning rate does not decay
    # From a TrainState and normalised images [B, H, W, C] to logits; None: the model's own, of parameters alone.
    predict: Callable[[Any, jax.Array], jax.Array] | None = None


class Rules(NamedTuple):
    """What the config's fields may be, by their dotted names."""

    choices: Mapping[str, Collection[str]]
    ranges: Mapping[str, Range]
    check: Callable[[Any, int], None]  # what else: raises ValueError for a config on so many devices
    # Raises UsageError if the training images that are there, of labels int [n], are too few for the config's tests.
    check_train: Callable[[Any, np.ndarray], None]


def evaluations(config: Any) -> tuple[str, ...]:
    """The names of what is evaluated, during the training or at its end."""
    return (*config.evals.periodic, *config.evals.final)


class Tested(NamedTuple):
    """What an evaluator is built from."""

    config: Any
    about: DatasetInfo
    predict: Predict
    features: Predict  # from images to features [B, F]
    test: Batches
    train: Callable[[], Batches]  # the training images, not augmented; loaded when first asked for
    version_2: Batches | None = None  # ImageNet-V2, where the config says where it is


class Task(NamedTuple):
    """A kind of training."""

    rules: Rules
    build: Callable[[Any, DatasetInfo, Schedule], Recipe]
    evaluators: Mapping[str, Callable[[Tested], Evaluator]]  # by the names that config.evals may hold
    headline: str  # the evaluator whose top1_error, at the end, is the run's
    describe: Callable[[Any], str]  # the config's method in a few words, for tables
    preview: Callable[[Path, Any, Mapping[str, Any], jax.Array], None]  # path, parts, batch, step's key
    warning: Callable[[Any, Mapping[str, float]], str | None]  # of an epoch's means, or None
