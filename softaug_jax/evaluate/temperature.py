"""Temperature scaling of a network without a validation set: fitted on one half of the test set, used on the other."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import log_softmax

from softaug_jax.calibration import fit_temperature
from softaug_jax.evals import Predictions

_fit = jax.jit(fit_temperature)


class CrossFitted(NamedTuple):
    """Predictions after temperature scaling, none of them by a temperature that its own example helped to fit."""

    predictions: Predictions
    temperatures: tuple[float, float]  # fitted on the first half and used on the second, and the other way round


def halves(count: int, seed: int) -> np.ndarray:
    """Which of `count` examples are in the first half, bool [count], drawn without regard to anything but the seed."""
    is_first = np.zeros(count, bool)
    is_first[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    return is_first


def cross_fit(predictions: Predictions, seed: int = 0) -> CrossFitted:
    """Scales each half of the examples by the temperature that is best on the other half (Guo et al., section 4.2).

    Args:
      predictions: of n examples.
      seed: of the halves.

    Returns:
      The n scaled predictions, in the same order, and the two temperatures.
    """
    is_first = halves(len(predictions.labels), seed)
    scaled = np.empty_like(predictions.log_probabilities)
    temperatures = []
    for fitted_on in (is_first, ~is_first):
        best = float(_fit(predictions.log_probabilities, predictions.labels, mask=fitted_on))
        scaled[~fitted_on] = log_softmax(predictions.log_probabilities[~fitted_on] / np.float32(best), axis=-1)
        temperatures.append(best)
    return CrossFitted(Predictions(scaled, predictions.labels), (temperatures[0], temperatures[1]))
