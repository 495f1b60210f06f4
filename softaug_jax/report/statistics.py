"""Means, their standard errors, and how large a difference must be to mean something."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

# A mean and its standard error, which one value alone has not.
Figure = tuple[float, float | None]


def mean_and_error(values: Sequence[float]) -> Figure:
    """The mean and its standard error (n - 1 degrees of freedom); None for one value alone.

    >>> mean_and_error([1.0, 2.0, 3.0])
    (2.0, 0.5773502691896258)
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return float(array.mean()), None
    return float(array.mean()), float(array.std(ddof=1) / sqrt(len(array)))


def difference(first: Figure, second: Figure) -> Figure:
    """Second minus first; with a standard error if both have one.

    >>> difference((2.0, 0.3), (1.5, 0.4))
    (-0.5, 0.5)
    """
    (mean_1, error_1), (mean_2, error_2) = first, second
    return mean_2 - mean_1, None if error_1 is None or error_2 is None else sqrt(error_1**2 + error_2**2)


def pooled_error(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Standard error of the difference of two means, by the variance of both, of n + m - 2 degrees of freedom.

    It is what Student's t takes, whose quantile would be wrong by much for the error that `difference` gives where n
    and m differ. Where they are equal the two errors are. None if either is one value, or neither differs in itself.

    >>> round(pooled_error([1.0, 3.0], [2.0, 2.0, 2.0, 2.0]), 6)  # sqrt(2 / 4 * (1 / 2 + 1 / 4))
    0.612372
    """
    both = [np.asarray(values, np.float64) for values in (first, second)]
    if min(map(len, both)) < 2 or not any(np.ptp(values) for values in both):
        return None
    squares = sum(values.var() * len(values) for values in both)
    return float(np.sqrt(squares / (len(first) + len(second) - 2) * (1 / len(first) + 1 / len(second))))


def binomial_noise(errors: Sequence[float], counts: Sequence[int]) -> float:
    """Standard error of the difference of two error rates, each in [0, 1], measured on `counts` examples.

    It takes the two as independent. On the same test images it is somewhat too large, which is the safe side.
    """
    return sqrt(sum(error * (1 - error) / count for error, count in zip(errors, counts, strict=True)))


def t_quantile(degrees_of_freedom: int) -> float:
    """How many standard errors the central 95 % of Student's t distribution reach to each side.

    >>> round(t_quantile(4), 3)
    2.776
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.975))
