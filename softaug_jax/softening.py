"""From visibility to targets and weights (arXiv:2211.04625, Eqs. 4 to 7 and 9 to 11)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from softaug_jax.checks import as_labels, check_broadcast, check_choice, check_count, check_scalar
from softaug_jax.numerics import as_float, power

MODES = ("none", "target", "weight", "target_and_weight")
HYPOTHESES = ("sa1", "sa2")


def confidence(visibility: ArrayLike, *, k: ArrayLike = 2.0, p_min: ArrayLike, p_max: ArrayLike = 1.0) -> jax.Array:
    r"""How sure the target should be when a share `visibility` of the image is left.

    .. math:: p = p_{max} - (p_{max} - p_{min}) (1 - v)^k

    (arXiv:2211.04625, Eq. 7, which has p_max = 1.) Monotone in v, with p(1) = p_max and p(0) = p_min. k = 1 is
    linear; a larger k keeps a plateau at high visibility. Any argument may be an array that broadcasts: one value a
    sample, or, taken by label (k = k_of_class[labels]), one a class, is Eq. 11. The gradient with respect to v is
    finite everywhere, and 0 at v = 1.

    Args:
      visibility: share of the image that is visible, [...], clipped to [0, 1].
      k: shape of the curve, > 0.
      p_min: confidence when nothing is visible, in [0, p_max]; chance, 1 / num_classes, in the paper.
      p_max: confidence when everything is visible, in [p_min, 1]; below 1 it is label smoothing.

    Returns:
      Confidence p, [...], float.

    Raises:
      ValueError: if a Python or NumPy value is outside its range (traced values are not checked), or the shapes do not
        fit together.

    >>> print(confidence(jnp.array([0.0, 0.5, 1.0]), p_min=0.1))
    [0.1   0.775 1.   ]
    """
    given = {"visibility": visibility, "k": k, "p_min": p_min, "p_max": p_max}
    rank = len(check_broadcast(**{name: jnp.shape(value) for name, value in given.items()}))
    check_scalar("k", k, above=0)
    check_scalar("p_max", p_max, at_least=0, at_most=1)
    check_scalar("p_min", p_min, at_least=0, at_most=p_max)
    visibility, k, p_min, p_max = (_of_rank(value, rank) for value in given.values())
    hidden = power(1.0 - jnp.clip(as_float(visibility), 0.0, 1.0), k)
    # Equal to Eq. 7, written as a mixture because this form is exact at both ends in floating point.
    return jnp.asarray(p_max * (1.0 - hidden) + p_min * hidden)


def soft_targets(labels: ArrayLike, confidence: ArrayLike, num_classes: int) -> jax.Array:
    """Targets with `confidence` p on the true class and (1 - p) / (N - 1) on each other (arXiv:2211.04625, Eq. 4).

    Args:
      labels: true classes, int [...], in [0, num_classes). Any other value is of no class: its target has
        (1 - p) / (N - 1) everywhere. Give such padding weight 0.
      confidence: probability p of the true class, in [0, 1], a scalar or [...].
      num_classes: N, at least 2.

    Returns:
      Targets [..., N], float; each sums to 1, unless its label is of no class.

    Raises:
      ValueError: if num_classes < 2, a Python confidence is outside [0, 1], the labels are not integers, or the
        shapes do not fit.

    >>> print(soft_targets(jnp.array([2, 0]), jnp.array([0.5, 1.0]), num_classes=3))
    [[0.25 0.25 0.5 ]
     [1.   0.   0.  ]]
    """
    check_count("num_classes", num_classes, at_least=2)
    check_scalar("confidence", confidence, at_least=0, at_most=1)
    labels = as_labels(labels)
    p = as_float(confidence)
    shape = _shape_of_both("confidence", p.shape, labels.shape)
    p = jnp.broadcast_to(p, shape)[..., None]
    is_true_class = jax.nn.one_hot(jnp.broadcast_to(labels, shape), num_classes, dtype=bool)
    return jnp.where(is_true_class, p, (1.0 - p) / (num_classes - 1))


def soften(
    labels: ArrayLike,
    visibility: ArrayLike,
    *,
    num_classes: int,
    mode: str = "target_and_weight",
    k: ArrayLike = 2.0,
    p_min: ArrayLike | None = None,
    p_max: ArrayLike = 1.0,
) -> tuple[jax.Array, jax.Array]:
    r"""Targets and weights of examples of which a share `visibility` is left (arXiv:2211.04625, Eqs. 4 to 6).

    .. math::
        p = p_{max} - (p_{max} - p_{min}) (1 - v)^k, \qquad
        t_c = \begin{cases} p & c = y \\ (1 - p) / (N - 1) & c \ne y \end{cases}, \qquad w = p

    Args:
      labels: true classes y, int [...], in [0, num_classes). Any other value is of no class, as in `soft_targets`.
        Padding is not told from other examples: give it weight 0 in the loss.
      visibility: share of each image that is visible, [...], clipped to [0, 1].
      num_classes: N, at least 2.
      mode: "target" softens the target (Eq. 4), "weight" the weight (Eq. 5), "target_and_weight" both (Eq. 6, the
        paper's best), "none" neither: one-hot targets and weights of 1.
      k: shape of the curve, > 0; like p_min and p_max a scalar or one value an example, see `confidence`.
      p_min: confidence at visibility 0; None means chance, 1 / num_classes.
      p_max: confidence at visibility 1; below 1 it is label smoothing.

    Returns:
      Targets [..., N] and weights [...], float.

    Raises:
      ValueError: if the mode is unknown, the shapes do not fit, or an argument of `confidence` or `soft_targets` is
        out of range.

    >>> targets, weights = soften(jnp.array([1, 0]), jnp.array([1.0, 0.5]), num_classes=2)
    >>> print(targets, weights)
    [[0.    1.   ]
     [0.875 0.125]] [1.    0.875]
    """
    check_choice("mode", mode, MODES)
    check_count("num_classes", num_classes, at_least=2)
    labels = as_labels(labels)
    p = confidence(visibility, k=k, p_min=1.0 / num_classes if p_min is None else p_min, p_max=p_max)
    p = jnp.broadcast_to(p, _shape_of_both("visibility (with k, p_min, p_max)", p.shape, jnp.shape(labels)))
    ones = jnp.ones_like(p)
    targets = soft_targets(labels, p if mode in ("target", "target_and_weight") else ones, num_classes)
    weights = p if mode in ("weight", "target_and_weight") else ones
    return targets, weights


def pair_confidence(
    iou: ArrayLike, *, k: ArrayLike = 4.0, p_min: ArrayLike = 0.0, hypothesis: str = "sa1"
) -> jax.Array:
    """Weight of a pair of crops of one image, from how much they overlap (arXiv:2211.04625, Eqs. 9 and 10).

    "sa1": p = 1 - (1 - p_min) (1 - IoU)^k, so that pairs with little overlap count less (Eq. 9, the paper's better).
    "sa2": p = 1 - (1 - p_min) IoU^k, so that pairs with much overlap do (Eq. 10).

    Args:
      iou: intersection over union of the two crops, [...], clipped to [0, 1]; see `box_iou`.
      k: shape of the curve, > 0.
      p_min: smallest weight, in [0, 1].
      hypothesis: "sa1" or "sa2".

    Returns:
      Weights [...], float.

    Raises:
      ValueError: if the hypothesis is unknown, or k or p_min out of range.

    >>> print(pair_confidence(jnp.array([0.0, 0.5, 1.0])), pair_confidence(jnp.array([0.0, 1.0]), hypothesis="sa2"))
    [0.     0.9375 1.    ] [1. 0.]
    """
    check_choice("hypothesis", hypothesis, HYPOTHESES)
    agreement = as_float(iou) if hypothesis == "sa1" else 1.0 - as_float(iou)
    return confidence(agreement, k=k, p_min=p_min)


def _of_rank(value: ArrayLike, rank: int) -> ArrayLike:
    """An array with leading axes of length 1 added up to this rank; scalars as they are, Python's integer k too."""
    shape = jnp.shape(value)
    return jnp.reshape(value, (1,) * (rank - len(shape)) + shape) if shape else value


def _shape_of_both(name: str, shape: tuple[int, ...], labels_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape. One value an example may have further leading axes, but [B, 1] beside [B] is a mistake."""
    try:
        both = check_broadcast(**{name: shape, "labels": labels_shape})
    except ValueError:
        both = ()
    if shape and labels_shape and shape != both:
        raise ValueError(
            f"{name} has shape {shape}, labels {labels_shape}: it must be a scalar or one an example, and labels class "
            "numbers. Take labels[:, 0] of labels [B, 1], labels.argmax(-1) of one-hot rows."
        )
    return both
