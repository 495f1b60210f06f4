"""Whether a model is as often right as it is sure (arXiv:2211.04625, section 4.3.4)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax

from softaug_jax import metrics
from softaug_jax.checks import check_count
from softaug_jax.evals.protocol import Batches, Predict, add_up, checked_count


class Calibration:
    """Expected calibration error over equal, right-closed bins (Eq. 8), and the bins for a reliability diagram."""

    def __init__(self, predict: Predict, batches: Batches, num_bins: int = 10) -> None:
        check_count("num_bins", num_bins, at_least=1)
        self.predict = predict
        self.batches = batches
        self.num_bins = num_bins

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "ece" in [0, 1], and three lists of `num_bins` sums under "calibration/"."""
        bins = add_up(
            _bins(self.predict(state, b["image"]), b["label"], b["mask"], self.num_bins) for b in self.batches
        )
        checked_count(bins.counts.sum())
        yield "ece", float(metrics.ece_from_bins(bins))
        for name, values in zip(metrics.BIN_NAMES, bins, strict=True):
            yield name, values.tolist()


@partial(jax.jit, static_argnames="num_bins")
def _bins(logits: jax.Array, labels: jax.Array, mask: jax.Array, num_bins: int) -> metrics.CalibrationBins:
    return metrics.calibration_bins(jax.nn.softmax(logits), labels, num_bins=num_bins, mask=mask)
