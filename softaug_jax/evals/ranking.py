"""How well a score tells one set from another: the area under the ROC curve, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    r"""The chance that a positive scores above a negative, ties counting half (the Mann-Whitney statistic).

    .. math:: \frac{1}{n_+ n_-} \sum_{i,j} [s^+_i > s^-_j] + \tfrac{1}{2} [s^+_i = s^-_j]

    Args:
      positive: scores [n+] of those that should score high.
      negative: scores [n-] of the others.

    Returns:
      In [0, 1]: 0.5 says nothing, 1 tells them apart.

    Raises:
      ValueError: if either is empty or holds NaN.

    >>> auroc([3.0, 1.0], [1.0, 0.0])
    0.875
    """
    positive, negative = np.asarray(positive), np.sort(np.asarray(negative))
    if not (positive.size and negative.size):
        raise ValueError(f"auroc needs scores of both kinds, and has {positive.size} and {negative.size}.")
    if np.isnan(positive).any() or np.isnan(negative).any():
        raise ValueError("auroc can't rank NaN, which the scores hold.")
    below, not_above = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
    return float((below.mean() + not_above.mean()) / 2 / negative.size)


def separations(name: str, whole: np.ndarray, right: np.ndarray, hidden: np.ndarray) -> Iterator[tuple[str, float]]:
    """Whether a score is high where it should be.

    Args:
      name: of the score.
      whole: scores of the test images, [n].
      right: which of them were classified right, bool [n].
      hidden: scores of the same images under a square, [n].

    Yields:
      AUROC of right against wrong under "NAME/auroc_right", unless all or none are right, and of whole images against
      occluded ones under "NAME/auroc_whole".
    """
    if 0 < right.sum() < len(right):
        yield f"{name}/auroc_right", auroc(whole[right], whole[~right])
    yield f"{name}/auroc_whole", auroc(whole, hidden)
