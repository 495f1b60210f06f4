"""Losses on the embeddings of two views of an image, for learning without labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from softaug_jax.checks import as_weights, check_scalar
from softaug_jax.numerics import as_float, unit

VARIANCE_FLOOR = 1e-5  # added to the variances, as the BatchNorm in Barlow Twins' code does


def simsiam_loss(predictions: ArrayLike, projections: ArrayLike, weights: ArrayLike | None = None) -> jax.Array:
    r"""SimSiam's loss (Chen and He, CVPR 2021, Eq. 4), times the weights: each view predicts the other's projection.

    .. math::
        w \cdot \tfrac12 \bigl(D(p_1, \mathrm{sg}(z_2)) + D(p_2, \mathrm{sg}(z_1))\bigr), \qquad
        D(p, z) = -\frac{p \cdot z}{|p| |z|}

    sg stops the gradient: the projections are targets, and learn only by way of the predictions. The weights are those
    of arXiv:2211.04625, section 4.4, and not renormalised: the batch's loss is the plain mean of what this returns. A
    vector of zeros has no direction: it adds 0, and gets no gradient.

    Args:
      predictions: p, [..., 2, D]; computed in float32 or wider.
      projections: z, [..., 2, D].
      weights: w, [...], or None for 1.

    Returns:
      Loss [...], in [-w, w].

    Raises:
      ValueError: if the shapes do not match.

    >>> p = jnp.array([[[3.0, 4.0], [1.0, 0.0]]])
    >>> z = jnp.array([[[1.0, 0.0], [6.0, 8.0]]])
    >>> print(simsiam_loss(p, z), simsiam_loss(p, z, jnp.array([0.5])))
    [-1.] [-0.5]
    """
    predictions, projections = as_float(predictions), as_float(projections)
    if predictions.ndim < 2 or predictions.shape[-2] != 2 or predictions.shape != projections.shape:
        shapes = f"predictions have shape {predictions.shape}, projections {projections.shape}"
        raise ValueError(f"{shapes}: they must be equal, [..., 2, D].")
    targets = jax.lax.stop_gradient(unit(projections))[..., ::-1, :]
    losses = -jnp.mean(jnp.sum(unit(predictions) * targets, -1), -1)
    return losses if weights is None else losses * as_weights(weights, losses.shape, "a pair")


def barlow_twins_loss(
    projections: ArrayLike, weights: ArrayLike | None = None, *, redundancy: float = 0.0051
) -> jax.Array:
    r"""Barlow Twins' loss (Zbontar et al., ICML 2021, Eqs. 1 and 2), here of a weighted batch.

    .. math::
        \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2, \qquad
        C_{ij} = \frac{\sum_b w_b \tilde z^1_{bi} \tilde z^2_{bj}}
                      {\sqrt{\sum_b w_b (\tilde z^1_{bi})^2} \sqrt{\sum_b w_b (\tilde z^2_{bj})^2}}

    where the tilde marks z less its weighted mean over the batch. C is the cross-correlation of the two views'
    dimensions, so the loss is the batch's, not a sum over examples, and an example's weight can only be its share in
    the means, variances and covariances. That is this project's reading: arXiv:2211.04625 names Barlow Twins in section
    4.4 and gives no formula. A weight of 2 counts as the example twice, equal weights give the original, and scaling
    all weights changes nothing, where it scales SimSiam's loss.

    As in the authors' code, 1e-5 is added to each variance: a dimension that is constant correlates with nothing, and
    its gradient is finite. Weights that are all 0 give C = 0.

    Args:
      projections: z, [B, 2, D]; computed in float32 or wider.
      weights: w, [B], >= 0, or None for 1.
      redundancy: lambda, >= 0.

    Returns:
      The batch's loss, a scalar.

    Raises:
      ValueError: if redundancy is negative or a shape is wrong.

    >>> z = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> print(barlow_twins_loss(jnp.stack([z, z], 1)).round(6), barlow_twins_loss(jnp.stack([z, -z], 1)).round(3))
    0.0 8.0
    """
    check_scalar("redundancy", redundancy, at_least=0)
    z = as_float(projections)
    if z.ndim != 3 or z.shape[1] != 2:
        raise ValueError(f"projections have shape {z.shape}; they must be [B, 2, D].")
    w = (
        jnp.ones(z.shape[:1], z.dtype)
        if weights is None
        else as_weights(weights, z.shape[:1], "a pair").astype(z.dtype)
    )
    total = jnp.sum(w)
    share = (w / jnp.where(total == 0, 1.0, total)).reshape(-1, 1, 1)
    centred = z - jnp.sum(share * z, 0, keepdims=True)
    variance = jnp.sum(share * jnp.square(centred), 0, keepdims=True)
    standard = centred * jax.lax.rsqrt(variance + VARIANCE_FLOOR)
    # At full precision: on TPU and GPU a float32 product is rounded to fewer bits otherwise.
    correlation = jnp.matmul((share * standard)[:, 0].T, standard[:, 1], precision="highest")
    same = jnp.eye(z.shape[-1], dtype=bool)
    return jnp.sum(jnp.where(same, jnp.square(1.0 - correlation), redundancy * jnp.square(correlation)))
