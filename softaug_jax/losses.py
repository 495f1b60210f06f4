"""Losses on logits, one value an example: the caller takes the mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from softaug_jax.checks import as_labels, as_weights, check_scalar
from softaug_jax.numerics import as_float, power


def soft_cross_entropy(logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> jax.Array:
    r"""Cross entropy between soft targets and softmax(logits), times the weights.

    .. math:: w \cdot \Bigl(-\sum_c t_c \log \mathrm{softmax}(z)_c\Bigr)

    The loss of arXiv:2211.04625, Eqs. 4 to 6; equal in gradient to the KL divergence of the authors' code. The
    weights are not renormalised: the batch's loss is the plain mean of what this returns.

    Args:
      logits: z, [..., N]; computed in float32 or wider.
      targets: t, [..., N], each summing to 1.
      weights: w, [...], or None for 1.

    Returns:
      Loss [...], in nats.

    Raises:
      ValueError: if the shapes do not match.

    >>> print(soft_cross_entropy(jnp.zeros((2, 4)), jnp.eye(4)[:2], jnp.array([1.0, 0.5])))
    [1.3862944 0.6931472]
    """
    return soft_focal_loss(logits, targets, 0.0, weights)


def soft_focal_loss(
    logits: ArrayLike, targets: ArrayLike, gamma: ArrayLike, weights: ArrayLike | None = None
) -> jax.Array:
    r"""Focal loss of a soft target, times the weights: each class's focal loss, weighed by its target.

    .. math:: w \cdot \Bigl(-\sum_c t_c (1 - p_c)^\gamma \log p_c\Bigr), \qquad p = \mathrm{softmax}(z)

    With a one-hot target it is `focal_loss`, with gamma = 0 `soft_cross_entropy`. It is linear in the target, so a
    mixed target's loss is the mixture of the losses.

    Args:
      logits: z, [..., N]; computed in float32 or wider.
      targets: t, [..., N], each summing to 1.
      gamma: exponent, >= 0, a scalar or one an example, [...].
      weights: w, [...], or None for 1.

    Returns:
      Loss [...], in nats.

    Raises:
      ValueError: if gamma is negative or the shapes do not match.

    >>> print(soft_focal_loss(jnp.zeros((1, 2)), jnp.array([[0.5, 0.5]]), gamma=2.0))
    [0.1732868]
    """
    check_scalar("gamma", gamma, at_least=0)
    logits, targets = as_float(logits), jnp.asarray(targets)
    if logits.shape != targets.shape:
        raise ValueError(f"logits have shape {logits.shape}, targets {targets.shape}: they must be equal, [..., N].")
    log_p = jax.nn.log_softmax(logits)
    # 0 log 0 is 0; elsewhere the gradient by the target is kept.
    log_p = jnp.where((targets == 0) & jnp.isneginf(log_p), 0.0, log_p)
    values = log_p if _is_zero(gamma) else power(-jnp.expm1(log_p), _beside_classes(gamma, logits.shape)) * log_p
    losses = -jnp.sum(targets * values, -1)
    return losses if weights is None else losses * as_weights(weights, losses.shape)


def focal_loss(logits: ArrayLike, labels: ArrayLike, gamma: ArrayLike) -> jax.Array:
    r"""Focal loss (Lin et al., ICCV 2017), a comparison in arXiv:2211.04625, Table 1, whose "alpha" is gamma here.

    .. math:: -(1 - p_y)^\gamma \log p_y, \qquad p = \mathrm{softmax}(z)

    Args:
      logits: z, [..., N]; computed in float32 or wider.
      labels: true classes y, int [...], in [0, N). Any other value has a loss of 0, but still counts in the
        mean: give padding weight 0.
      gamma: exponent, >= 0, a scalar or one an example, [...]; 0 is the cross entropy.

    Returns:
      Loss [...], in nats.

    Raises:
      ValueError: if gamma is negative, the labels are not integers, or the shapes do not match.

    >>> print(focal_loss(jnp.zeros((1, 2)), jnp.array([0]), gamma=2.0))
    [0.1732868]
    """
    logits, labels = as_float(logits), as_labels(labels)
    if logits.shape[:-1] != labels.shape:
        raise ValueError(f"logits have shape {logits.shape}, labels {labels.shape}: they must be [..., N] and [...].")
    return soft_focal_loss(logits, jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), gamma)


def _is_zero(gamma: ArrayLike) -> bool:
    return isinstance(gamma, (int, float)) and gamma == 0


def _beside_classes(gamma: ArrayLike, shape: tuple[int, ...]) -> ArrayLike:
    """A scalar as it is, one gamma an example [...] as [..., 1], for logits of this shape [..., N]."""
    if jnp.ndim(gamma) == 0:
        return gamma
    if jnp.shape(gamma) != shape[:-1]:
        raise ValueError(f"gamma has shape {jnp.shape(gamma)}; it must be a scalar or {shape[:-1]}, one an example.")
    return jnp.expand_dims(gamma, -1)
