"""Metrics: masked sums, so that padding changes nothing and batches and devices add up exactly; and collapse.

With jax_enable_x64, sums of float64 scores are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from softaug_jax.checks import as_labels, check_count
from softaug_jax.losses import soft_cross_entropy
from softaug_jax.numerics import as_float, unit


class ClassificationSums(NamedTuple):
    """Sums over examples; divide by `examples` for the mean."""

    wrong: jax.Array  # top-1 errors
    nll: jax.Array  # negative log likelihood, in nats
    brier: jax.Array  # squared distance between the probabilities and the one-hot label, in [0, 2]
    examples: jax.Array  # how many


class CalibrationBins(NamedTuple):
    """Per bin: how many examples, and the sums of their confidence and of their correctness, each [num_bins]."""

    counts: jax.Array
    confidence_sums: jax.Array
    accuracy_sums: jax.Array


# What the bins are called where figures are written.
BIN_NAMES = tuple(f"calibration/bin_{field}" for field in CalibrationBins._fields)


def classification_sums(logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> ClassificationSums:
    """Sums of top-1 error, negative log likelihood and Brier score over the examples where mask is true.

    Args:
      logits: [..., N]; every leading axis counts as examples.
      labels: true classes, int [...], in [0, N). Any other value counts as wrong, with a likelihood of 1 (loss 0).
      mask: which examples count, bool or 0/1 [...]; None means all. Padding must not, whatever its label is.

    Returns:
      The four sums, each a float32 scalar.

    Raises:
      ValueError: if the shapes do not match, or the labels are not integers.

    >>> sums = classification_sums(jnp.array([[2.0, 0.0], [2.0, 0.0]]), jnp.array([0, 1]), jnp.array([True, True]))
    >>> print(sums.wrong / sums.examples)
    0.5
    """
    logits, labels, counted = as_examples("logits", logits, labels, mask)
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    wrong = (jnp.argmax(logits, -1) != labels).astype(jnp.float32)
    brier = jnp.sum((jax.nn.softmax(logits) - one_hot) ** 2, -1)
    nll = soft_cross_entropy(logits, one_hot)
    total = lambda values: jnp.sum(jnp.where(counted, values, 0.0))
    return ClassificationSums(total(wrong), total(nll), total(brier), jnp.sum(counted, dtype=jnp.float32))


def calibration_bins(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 10, mask: ArrayLike | None = None
) -> CalibrationBins:
    """Sorts predictions by confidence, the largest probability, into equal bins (for arXiv:2211.04625, Eq. 8).

    Bins are closed on the right: bin m of M holds (m / M, (m + 1) / M]; a confidence of 0 is in the first.

    Args:
      probabilities: [..., N], rows summing to 1; every leading axis counts as examples. Logits must go through
        `jax.nn.softmax` first: values outside [0, 1] fall into the outermost bins, and nothing warns of them.
      labels: true classes, int [...], in [0, N). Any other value counts as wrong.
      num_bins: M, at least 1; the paper has 10.
      mask: which examples count, bool or 0/1 [...]; None means all. Padding must not, whatever its label is.

    Returns:
      Counts, confidence sums and accuracy sums, each float32 [M]. Those of several batches add up.

    Raises:
      ValueError: if num_bins < 1, the shapes do not match, or the labels are not integers.

    >>> bins = calibration_bins(jnp.array([[0.75, 0.25], [0.25, 0.75]]), jnp.array([0, 0]), num_bins=2)
    >>> print(bins.counts, bins.confidence_sums, bins.accuracy_sums)
    [0. 2.] [0.  1.5] [0. 1.]
    """
    check_count("num_bins", num_bins, at_least=1)
    probabilities, labels, counted = as_examples("probabilities", probabilities, labels, mask)
    confidence = jnp.max(probabilities, -1)
    correct = (jnp.argmax(probabilities, -1) == labels).astype(jnp.float32)
    member = jax.nn.one_hot(right_closed_bins(confidence, num_bins), num_bins, dtype=bool) & counted[..., None]
    total = lambda values: jnp.sum(jnp.where(member, values[..., None], 0.0), range(member.ndim - 1))
    return CalibrationBins(total(jnp.ones_like(confidence)), total(confidence), total(correct))


def ece_from_bins(bins: CalibrationBins) -> jax.Array:
    """Expected calibration error of summed bins, a scalar in [0, 1] (arXiv:2211.04625, Eq. 8); 0 without examples."""
    gaps = abs(bins.accuracy_sums - bins.confidence_sums)  # count * |accuracy - confidence|
    return gaps.sum() / jnp.maximum(bins.counts.sum(), 1.0)  # float64 sums of NumPy's are divided last


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, num_bins: int = 10, mask: ArrayLike | None = None
) -> jax.Array:
    r"""Expected calibration error (arXiv:2211.04625, Eq. 8).

    .. math:: ECE = \sum_m \frac{|B_m|}{n} |acc(B_m) - conf(B_m)|

    Args, bins and errors: those of `calibration_bins`, which takes probabilities: of logits this is no meaningful
    number, and nothing warns of it.

    Returns:
      A scalar in [0, 1].

    >>> p = jnp.array([[0.75, 0.25], [0.75, 0.25]])
    >>> print(expected_calibration_error(p, jnp.array([0, 1])))
    0.25
    """
    return ece_from_bins(calibration_bins(probabilities, labels, num_bins=num_bins, mask=mask))


def output_std(projections: ArrayLike) -> jax.Array:
    r"""How far a siamese network is from collapse (Chen and He, CVPR 2021, Fig. 2): 0 when it has collapsed.

    .. math:: \frac{1}{D} \sum_d \mathrm{std}_b \Bigl(\frac{z_b}{|z_b|}\Bigr)_d

    It is 1 / sqrt(D) when the directions are isotropic, which is also the most it can be. Of a training batch, which
    has no padding: there is no mask.

    Args:
      projections: z, [..., D]; every leading axis counts as examples.

    Returns:
      A scalar in [0, 1 / sqrt(D)], float32.

    >>> print(output_std(jnp.array([[2.0], [-5.0]])), output_std(jnp.ones((4, 2, 16))))
    1.0 0.0
    """
    directions = unit(as_float(projections))
    return jnp.mean(jnp.std(directions, range(directions.ndim - 1)))


def right_closed_bins(confidence: jax.Array, num_bins: int) -> jax.Array:
    """The bin of each confidence in [0, 1], int of its shape: of M equal ones, m holds (m / M, (m + 1) / M]."""
    # In NumPy: XLA divides by a constant by multiplying with its reciprocal, which moves some edges by one ulp. And in
    # the confidence's own type, so that a float64 0.7 is the edge 7/10.
    upper_edges = np.arange(1, num_bins, dtype=confidence.dtype) / confidence.dtype.type(num_bins)
    # By comparing with all edges: the default's loop fails under a mesh of explicit axes.
    return jnp.searchsorted(upper_edges, confidence, side="left", method="compare_all")


def as_examples(
    name: str, scores: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Scores, float [..., N], their labels, int32 [...], and which examples count, bool [...].

    Raises:
      ValueError: if the shapes do not fit together, or the labels are not integers.
    """
    scores, labels = as_float(scores), as_labels(labels)
    if scores.shape[:-1] != labels.shape:
        raise ValueError(f"{name} have shape {scores.shape}, labels {labels.shape}: they must be [..., N] and [...].")
    counted = jnp.ones(labels.shape, bool) if mask is None else jnp.asarray(mask) > 0
    if counted.shape != labels.shape:
        raise ValueError(f"mask has shape {counted.shape}, labels {labels.shape}: they must be equal.")
    return scores, labels, counted
