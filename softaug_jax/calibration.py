"""Calibration beyond Eq. 8: class by class, over bins of equal mass, and by one temperature fitted afterwards."""

from __future__ import annotations

from math import log

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from softaug_jax.checks import check_count, check_scalar
from softaug_jax.metrics import as_examples, right_closed_bins

TEMPERATURES = (0.01, 100.0)  # between which one is looked for
HALVINGS = 48  # of an interval of log temperatures, 9.2 wide: more than float32 can tell apart


def classwise_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 10, mask: ArrayLike | None = None
) -> jax.Array:
    r"""Calibration error of every class's probability, not only of the largest.

    .. math:: \frac{1}{N} \sum_{c=1}^{N} \sum_{m=1}^{M} \frac{|B_{m,c}|}{n} |acc(B_{m,c}) - conf(B_{m,c})|

    (Kull et al., arXiv:1910.12656, classwise ECE; Nixon et al., arXiv:1904.01685, static calibration error). B_{m,c}
    holds the examples by their probability of class c, acc is the share of them that are of class c, and conf their
    mean probability of it. Bins are those of Eq. 8: equal, closed on the right. A class without examples counts too.

    Args:
      probabilities: [..., N], rows summing to 1; every leading axis counts as examples.
      labels: true classes, int [...], in [0, N). Any other value is of no class.
      num_bins: M, at least 1.
      mask: which examples count, bool or 0/1 [...]; None means all.

    Returns:
      A scalar in [0, 1], float32; 0 without examples. With many classes it is small: most probabilities are near 0.

    Raises:
      ValueError: if num_bins < 1, the shapes do not match, or the labels are not integers.

    >>> p = jnp.array([[0.75, 0.25], [0.75, 0.25]])
    >>> print(classwise_calibration_error(p, jnp.array([0, 1])))
    0.25
    """
    check_count("num_bins", num_bins, at_least=1)
    probabilities, labels, counted = _one_batch("probabilities", probabilities, labels, mask)

    def gap(name: jax.Array, confidence: jax.Array) -> jax.Array:
        excess = jnp.where(counted, (labels == name).astype(jnp.float32) - confidence, 0.0)
        return _summed_gaps(excess, right_closed_bins(confidence, num_bins), num_bins)

    num_classes = probabilities.shape[-1]
    # One class after the other: a thousand classes' bins at once would not fit into memory.
    gaps = jax.lax.map(lambda of_class: gap(*of_class), (jnp.arange(num_classes), probabilities.T))
    return jnp.mean(gaps) / jnp.maximum(jnp.sum(counted), 1)


def adaptive_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 10, mask: ArrayLike | None = None
) -> jax.Array:
    r"""Calibration error of the largest probability over bins that hold equally many examples.

    It is Eq. 8 over the equal-mass bins of Nguyen and O'Connor (arXiv:1508.05154), of the top label only; the "adaptive
    calibration error" of Nixon et al. (arXiv:1904.01685) takes every class's probability instead. Of n examples sorted
    by confidence, the i-th (from 0) is in bin floor(i M / n): bins differ by one example at most, and with n < M some
    are empty. Examples of one confidence that a bin's edge divides are divided evenly: each counts as right by the
    share of them that are. So the order of the examples changes nothing.

    Args, returns and errors: those of `metrics.expected_calibration_error`.

    >>> p = jnp.array([[0.75, 0.25], [0.75, 0.25]])
    >>> print(adaptive_calibration_error(p, jnp.array([0, 1]), num_bins=2))
    0.25
    """
    check_count("num_bins", num_bins, at_least=1)
    probabilities, labels, counted = _one_batch("probabilities", probabilities, labels, mask)
    confidence = jnp.where(counted, jnp.max(probabilities, -1), jnp.inf)  # what does not count is sorted to the end
    order = jnp.argsort(confidence)
    confidence, counted = confidence[order], counted[order]
    correct = (jnp.argmax(probabilities, -1) == labels).astype(jnp.float32)[order]
    places, total = jnp.arange(len(order)), jnp.sum(counted)
    previous = jnp.concatenate([confidence[:1], confidence[:-1]])
    ties = jnp.cumsum(confidence != previous)  # numbers each confidence that occurs
    sums = lambda values: jax.ops.segment_sum(values, ties, len(order), indices_are_sorted=True)
    correct = (sums(correct) / jnp.maximum(sums(jnp.ones_like(correct)), 1.0))[ties]
    excess = jnp.where(counted, correct - confidence, 0.0)
    bins = jnp.minimum(places * num_bins // jnp.maximum(total, 1), num_bins - 1)
    return _summed_gaps(excess, bins, num_bins) / jnp.maximum(total, 1)


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    bounds: tuple[float, float] = TEMPERATURES,
) -> jax.Array:
    r"""The temperature T > 0 by which softmax(logits / T) has the smallest negative log likelihood.

    (Guo et al., arXiv:1706.04599, section 4.2.) That is convex in 1 / T, so its slope there,

    .. math:: \frac{1}{n} \sum_i \sum_c p_{ic}(T) z_{ic} - z_{i y_i},

    changes its sign once at most, and the place is found by halving an interval of log T. Where the best temperature is
    none (every example is right: T = 0; or the logits are worse than chance: no finite T), a bound is returned. Logits
    that differ nowhere have no slope, and every T is as good: 1 is returned. Logits that are NaN give NaN.

    Args:
      logits: [..., N], every leading axis counts as examples; log probabilities serve as well, also of 0.
      labels: true classes, int [...], in [0, N); an example with any other value does not count. They must not be
        those of the examples that the temperature is then measured on.
      mask: which examples count, bool or 0/1 [...]; None means all.
      bounds: the smallest and the largest temperature.

    Returns:
      A scalar within the bounds, float32.

    Raises:
      ValueError: if the bounds are not 0 < smallest < largest, the shapes do not match, or the labels are not integers.

    >>> print(fit_temperature(jnp.log(jnp.array([[0.9, 0.1]] * 4)), jnp.array([0, 0, 0, 1])).round(3))  # 0.75 is right
    2.0
    """
    smallest, largest = bounds
    check_scalar("bounds[0]", smallest, above=0)
    check_scalar("bounds[1]", largest, above=smallest)
    logits, labels, counted = _one_batch("logits", logits, labels, mask)
    counted &= (labels >= 0) & (labels < logits.shape[-1])
    logits = logits - jnp.max(logits, -1, keepdims=True)
    true = jnp.take_along_axis(logits, labels[:, None], -1, mode="clip")[:, 0]

    def slope(log_temperature: jax.Array) -> jax.Array:
        p = jax.nn.softmax(logits * jnp.exp(-log_temperature))
        mean = jnp.sum(jnp.where(p == 0, 0.0, p * logits), -1)  # 0 times a logit of -inf is 0
        return jnp.sum(jnp.where(counted, mean - true, 0.0))

    def halve(_: int, interval: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = interval
        middle = (low + high) / 2
        is_higher = slope(middle) > 0  # the likelihood falls with 1 / T: a larger T is better
        return jnp.where(is_higher, middle, low), jnp.where(is_higher, high, middle)

    interval = jnp.float32(log(smallest)), jnp.float32(log(largest))
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, interval)
    has_slope = jnp.any(counted & (jnp.min(logits, -1) < 0))
    best = jnp.where(has_slope, jnp.exp((low + high) / 2), 1.0)
    best = jnp.where(jnp.isnan(slope(low)), jnp.nan, best)
    return jnp.clip(best, np.float32(smallest), np.float32(largest))


def _one_batch(
    name: str, scores: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`metrics.as_examples` with the leading axes made one: [n, N], [n] and [n]."""
    scores, labels, counted = as_examples(name, scores, labels, mask)
    return scores.reshape(labels.size, scores.shape[-1]), labels.reshape(-1), counted.reshape(-1)


def _summed_gaps(excess: jax.Array, bins: jax.Array, num_bins: int) -> jax.Array:
    """The sum over bins of |sum of excess|; an example's excess is its correctness less its confidence."""
    return jnp.sum(jnp.abs(jax.ops.segment_sum(excess, bins, num_bins)))
