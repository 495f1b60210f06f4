"""Builds the evaluators that a config names and runs them on a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jax

from softaug_jax.augment import Normalize
from softaug_jax.data import sources
from softaug_jax.data.eval_batches import EvalBatches
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.sources import Arrays
from softaug_jax.evals import Evaluator
from softaug_jax.tasks.protocol import Tested
from softaug_jax.train.setup import Parts, StatePredict
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState


class Evaluation:
    """The test set and what is measured on it."""

    def __init__(self, config: Any, parts: Parts, test: Arrays, load_train: Callable[[], Arrays], shardings: Shardings):
        """`load_train` is called only if an evaluator needs the training images."""
        predict, features = (
            jit_predict(function, parts.info, shardings) for function in (parts.predict, parts.features)
        )
        test_batches = eval_batches(config, shardings, "test", test)
        train = cache(lambda: eval_batches(config, shardings, "train", load_train()))
        self._evaluators = parts.task.evaluators
        self._tested = Tested(config, parts.info, predict, features, test_batches, train)
        self._built: dict[str, Evaluator] = {}

    def run(self, names: Iterable[str], state: TrainState) -> dict[str, Any]:
        """All figures of the named evaluators, by their names."""
        figures: dict[str, Any] = {}
        for name in names:
            if name not in self._built:
                self._built[name] = self._evaluators[name](self._tested)
            figures.update(self._built[name].run(state))
        return figures


def load(config: Any, split: str) -> Arrays:
    """One split of the config's data set, in memory."""
    return sources.load(config.dataset, split, config.data.dir, download=config.data.download)


def eval_batches(config: Any, shardings: Shardings, split: str = "test", arrays: Arrays | None = None) -> EvalBatches:
    """A split as evaluators see it, in batches of `config.eval_batch_size` or the next number that the devices divide.

    The one place that decides how: `arrays` are given where the split is loaded already.
    """
    devices = shardings.mesh.size
    batch_size = -(-config.eval_batch_size // devices) * devices
    return EvalBatches(load(config, split) if arrays is None else arrays, batch_size, shardings.batch)


def jit_predict(function: StatePredict, about: DatasetInfo, shardings: Shardings) -> StatePredict:
    """The function of a state and images [B, H, W, C], of images in 0 to 255 instead, batch split over the devices."""
    normalize = Normalize(about.mean, about.std)

    def predict(state: TrainState, images: jax.Array) -> jax.Array:
        images, _ = normalize.apply(images)
        return function(state, images)

    return jax.jit(predict, in_shardings=(shardings.replicated, shardings.batch), out_shardings=shardings.batch)
