"""The figures on ImageNet-V2 (Recht et al., ICML 2019) of a network trained on ImageNet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softaug_jax.evals.calibration import Calibration
from softaug_jax.evals.classification import Classification
from softaug_jax.evals.protocol import Batches, Evaluator, Predict

PREFIX = "v2/"


class Version2:
    """What `Classification` and `Calibration` yield, of another test set."""

    def __init__(self, predict: Predict, batches: Batches | None, num_bins: int = 10) -> None:
        """`batches` are None where the set is not at hand: there are no figures then."""
        self.evaluators: list[Evaluator] = []
        if batches is not None:
            self.evaluators = [Classification(predict, batches), Calibration(predict, batches, num_bins)]

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "v2/top1_error" and so on."""
        for evaluator in self.evaluators:
            for name, value in evaluator.run(state):
                yield f"{PREFIX}{name}", value
