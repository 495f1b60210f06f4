"""Top-1 error, negative log likelihood and Brier score over a whole set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softaug_jax.evals.protocol import Batches, Predict, add_up, checked_count
from softaug_jax.evals.sums import classification_sums


class Classification:
    """Means over all examples of the top-1 error, the negative log likelihood in nats, and the Brier score."""

    def __init__(self, predict: Predict, batches: Batches) -> None:
        self.predict = predict
        self.batches = batches

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "top1_error", "nll", "brier" and "num_examples"."""
        sums = add_up(classification_sums(self.predict(state, b["image"]), b["label"], b["mask"]) for b in self.batches)
        count = checked_count(sums.examples)
        yield "top1_error", float(sums.wrong) / count
        yield "nll", float(sums.nll) / count
        yield "brier", float(sums.brier) / count
        yield "num_examples", count
