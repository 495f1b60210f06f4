"""Temperature scaling of a network without a validation set: fitted on one half of the test set, used on the other."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import log_softmax

from softaug_jax.calibration import TEMPERATURES, fit_temperature
from softaug_jax.evals import Predictions

_fit = jax.jit(fit_temperature)


class CrossFitted(NamedTuple):
    """Predictions after temperature scaling, none of them by a temperature that its own example helped to fit."""

    predictions: Predictions
    temperatures: tuple[float, float]  # fitted on the first half and used on the second, and the other way round
    unfitted: int  # halves on which no temperature is best: there it is 1


def halves(is_right: np.ndarray, seed: int) -> np.ndarray:
    """Which examples are in the first half, bool [n], drawn by the seed so that both halves have as many wrong ones."""
    order = np.random.default_rng(seed).permutation(len(is_right))
    order = order[np.argsort(is_right[order], kind="stable")]
    is_first = np.zeros(len(is_right), bool)
    is_first[order[1::2]] = True
    return is_first


def cross_fit(predictions: Predictions, seed: int = 0) -> CrossFitted:
    """Scales each half of the examples by the temperature that is best on the other half (Guo et al., section 4.2).

    Where that is none, since all of the other half are right (T = 0), they are worse than chance (no finite T) or one
    of them is NaN, the half stays as it is: a bound in place of T would make certainty of every prediction, the wrong
    ones too.

    Args:
      predictions: of n examples.
      seed: of the halves.

    Returns:
      The n scaled predictions, in the same order, the two temperatures, and how many of them are none.
    """
    is_first = halves(predictions.log_probabilities.argmax(-1) == predictions.labels, seed)
    scaled = np.empty_like(predictions.log_probabilities)
    temperatures, unfitted = [], 0
    for fitted_on in (is_first, ~is_first):
        best = float(_fit(predictions.log_probabilities, predictions.labels, mask=fitted_on))
        if np.isnan(best) or np.isclose(best, TEMPERATURES, rtol=1e-3).any():
            best, unfitted = 1.0, unfitted + 1
        scaled[~fitted_on] = log_softmax(predictions.log_probabilities[~fitted_on] / np.float32(best), axis=-1)
        temperatures.append(best)
    return CrossFitted(Predictions(scaled, predictions.labels), (temperatures[0], temperatures[1]), unfitted)
