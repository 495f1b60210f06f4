"""Deep ensembles (Lakshminarayanan et al., arXiv:1612.01474): the mean of the members' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from softaug_jax.evals import Predictions


def ensemble(members: Sequence[Predictions]) -> Predictions:
    """The predictions of an ensemble, each member weighing the same.

    Args:
      members: of networks that differ by seed, on the same examples in the same order.

    Raises:
      ValueError: if there are none, or they are not of the same examples.

    >>> half = Predictions(np.log(np.array([[0.5, 0.5]])), np.array([0]))
    >>> print(ensemble([half, Predictions(np.log(np.array([[0.9, 0.1]])), np.array([0]))]).probabilities.round(3))
    [[0.7 0.3]]
    """
    if not members:
        raise ValueError("An ensemble needs at least one member.")
    first = members[0]
    if any(not np.array_equal(member.labels, first.labels) for member in members):
        raise ValueError("The members of an ensemble must have predicted the same examples.")
    total = first.log_probabilities
    for member in members[1:]:  # one after another: no copy of all of them
        total = np.logaddexp(total, member.log_probabilities)
    return Predictions(total - np.float32(log(len(members))), first.labels)
