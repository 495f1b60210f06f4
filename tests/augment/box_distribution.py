"""Comparison of two samples of boxes, for the crops' tests on the device and on the host."""

import math

import numpy as np


def features(boxes):
    """Area, log ratio, and where the box begins, of boxes [n, 4]: each [n]."""
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return {"area": height * width, "ratio": np.log(width / height), "y0": boxes[:, 0], "x0": boxes[:, 1]}


def assert_same_distribution(boxes, others):
    """Kolmogorov and Smirnov's test of each feature, failing about once in 5,000 for equal distributions."""
    for (name, ours), theirs in zip(features(boxes).items(), features(others).values(), strict=True):
        grid = np.union1d(ours, theirs)
        gap = [np.searchsorted(np.sort(x), grid, side="right") / len(x) for x in (ours, theirs)]
        assert np.abs(gap[0] - gap[1]).max() < 2.15 * math.sqrt(1 / len(ours) + 1 / len(theirs)), name


def assert_inside(boxes, size):
    """Each box has a pixel at least, and none outside an image of `size` (H, W)."""
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= size).all() and (boxes[:, :2] < boxes[:, 2:]).all()
