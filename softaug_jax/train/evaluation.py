"""Builds the evaluators that a config names and runs them on a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jax

from softaug_jax.augment import Normalize
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
        devices = shardings.mesh.size
        batch_size = -(-config.eval_batch_size // devices) * devices
        batches = lambda arrays: EvalBatches(arrays, batch_size, shardings.batch)
        predict, features = (
            jit_predict(function, parts.info, shardings) for function in (parts.predict, parts.features)
        )
        train = cache(lambda: batches(load_train()))
        self._evaluators = parts.task.evaluators
        self._tested = Tested(config, parts.info, predict, features, batches(test), train)
        self._built: dict[str, Evaluator] = {}

    def run(self, names: Iterable[str], state: TrainState) -> dict[str, Any]:
        """All figures of the named evaluators, by their names."""
        figures: dict[str, Any] = {}
        for name in names:
            if name not in self._built:
                self._built[name] = self._evaluators[name](self._tested)
            figures.update(self._built[name].run(state))
        return figures


def jit_predict(function: StatePredict, about: DatasetInfo, shardings: Shardings) -> StatePredict:
    """The function of a state and images [B, H, W, C], of images in 0 to 255 instead, batch split over the devices."""
    normalize = Normalize(about.mean, about.std)

    def predict(state: TrainState, images: jax.Array) -> jax.Array:
        images, _ = normalize.apply(images)
        return function(state, images)

    return jax.jit(predict, in_shardings=(shardings.replicated, shardings.batch), out_shardings=shardings.batch)
