"""Whether two programs train alike: by how far their means lie apart, measured by how far their seeds do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.01  # chance that programs that are alike are told apart anywhere
TOLERANCE = (
    "Each epoch's mean training loss and the final test error of two programs are compared over seeds by Student's t "
    f"with their pooled variance. All comparisons together have a chance of {LEVEL:.0%} to fail where there is no "
    "difference (Bonferroni), so the tolerance of each is t * sqrt(pooled variance * 2 / seeds)."
)


def series(curves: Mapping[str, Any]) -> np.ndarray:
    """Losses of each epoch and the test error, [seeds, epochs + 1]."""
    return np.column_stack([np.asarray(curves["train_loss"]), np.asarray(curves["test_top1_error"])])


def compared(ours: Mapping[str, Any], theirs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Our curves with each peer's.

    Args:
      ours: `train_loss` [seeds][epochs] and `test_top1_error` [seeds], of at least two seeds.
      theirs: the same of each peer by name.

    Returns:
      `agree`, the tolerance in words, and by peer: differences, tolerances and which of them are exceeded.
    """
    mine = series(ours)
    comparisons = mine.shape[1] * len(theirs)
    peers = {name: _against(mine, series(curves), comparisons) for name, curves in theirs.items()}
    return {"agree": all(p["agree"] for p in peers.values()), "tolerance": TOLERANCE, "peers": peers}


def _against(mine: np.ndarray, theirs: np.ndarray, comparisons: int) -> dict[str, Any]:
    seeds = len(mine)
    variance = (mine.var(0, ddof=1) + theirs.var(0, ddof=1)) / 2
    quantile = stats.t.ppf(1 - LEVEL / comparisons / 2, 2 * (seeds - 1))
    tolerance = quantile * np.sqrt(variance * 2 / seeds)
    difference = mine.mean(0) - theirs.mean(0)
    return {
        "agree": bool((np.abs(difference) <= tolerance).all()),
        "train_loss": _listed(mine[:, :-1], theirs[:, :-1], difference[:-1], tolerance[:-1]),
        "test_top1_error": _listed(mine[:, -1:], theirs[:, -1:], difference[-1:], tolerance[-1:]),
    }


def _listed(mine: np.ndarray, theirs: np.ndarray, difference: np.ndarray, tolerance: np.ndarray) -> dict[str, Any]:
    listed = {"ours": mine.mean(0), "peer": theirs.mean(0), "difference": difference, "tolerance": tolerance}
    return {name: values.tolist() for name, values in listed.items()}


def table(agreement: Mapping[str, Any]) -> list[str]:
    """Final loss and test error beside each peer's, a line each."""
    lines = []
    for name, peer in agreement["peers"].items():
        loss, error = peer["train_loss"], peer["test_top1_error"]
        lines.append(
            f"  {name:10s} {'alike' if peer['agree'] else 'DIFFERENT'}: last loss {loss['ours'][-1]:.4f} and "
            f"{loss['peer'][-1]:.4f} (± {loss['tolerance'][-1]:.4f}), test error {error['ours'][0]:.2%} and "
            f"{error['peer'][0]:.2%} (± {error['tolerance'][0]:.2%})"
        )
    return lines


def seeds_needed(seeds: Sequence[int]) -> bool:
    """Whether there are enough seeds to have a spread."""
    return len(set(seeds)) >= 2
