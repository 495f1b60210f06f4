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
