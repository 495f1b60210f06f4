"""Builds the evaluators that a config names and runs them on a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from softaug_jax.data.eval_batches import EvalBatches
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.sources import Arrays
from softaug_jax.evals import Calibration, Classification, Evaluator, Occlusion
from softaug_jax.models import Model
from softaug_jax.train.setup import normalization
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState


class Evaluation:
    """The test set and what is measured on it."""

    def __init__(self, config: Any, about: DatasetInfo, model: Model, arrays: Arrays, shardings: Shardings):
        devices = shardings.mesh.size
        batch_size = -(-config.eval_batch_size // devices) * devices
        self._config, self._about = config.evals, about
        self._seed = config.seed
        self._batches = EvalBatches(arrays, batch_size, shardings.batch)
        self._predict = jit_predict(model, about, shardings)
        self._built: dict[str, Evaluator] = {}

    def run(self, names: Iterable[str], state: TrainState) -> dict[str, Any]:
        """All figures of the named evaluators, by their names."""
        figures: dict[str, Any] = {}
        for name in names:
            if name not in self._built:
                self._built[name] = self._build(name)
            figures.update(self._built[name].run(state))
        return figures

    def _build(self, name: str) -> Evaluator:
        if name == "classification":
            return Classification(self._predict, self._batches)
        if name == "calibration":
            return Calibration(self._predict, self._batches, num_bins=self._config.num_bins)
        fill = {"mean": tuple(255.0 * m for m in self._about.mean), "black": (0.0,) * self._about.channels}
        return Occlusion(
            self._predict,
            self._batches,
            shares=self._config.occlusion_shares,
            draws=self._config.occlusion_draws,
            seed=self._seed,
            fill=np.asarray(fill[self._config.occlusion_fill], np.float32),
        )


def jit_predict(model: Model, about: DatasetInfo, shardings: Shardings) -> Callable[[TrainState, jax.Array], jax.Array]:
    """From images [B, H, W, C] in 0 to 255 to logits [B, N], batch split over the devices."""
    normalize = normalization(about)

    def predict(state: TrainState, images: jax.Array) -> jax.Array:
        images, _ = normalize.apply(images)
        return model.predict(state.params, state.batch_stats, images)

    return jax.jit(predict, in_shardings=(shardings.replicated, shardings.batch), out_shardings=shardings.batch)
