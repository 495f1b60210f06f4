"""What is random inside a network: ShakeDrop, dropout, stochastic depth. Without a key each is its expectation."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def subkey(key: jax.Array | None, index: int) -> jax.Array | None:
    """The key of the layer `index`; None, which means evaluation, stays None."""
    return None if key is None else jax.random.fold_in(key, index)


def linear_decay(index: int, count: int, last: float) -> float:
    r"""The chance p_l that the residual of block l = `index` + 1 of L = `count` passes as it is.

    .. math:: p_l = 1 - \frac{l}{L} (1 - p_L)

    (Huang et al., arXiv:1603.09382, and Yamada et al., arXiv:1802.02375), from almost 1 down to p_L = `last`.
    """
    return 1.0 - (index + 1) / count * (1.0 - last)


def drop(x: jax.Array, rate: float, key: jax.Array | None, *, whole_images: bool = False) -> jax.Array:
    """Zeroes elements with probability `rate` and divides the others by 1 - rate: dropout. The expectation is x.

    Args:
      x: any float array, its first axis the images.
      rate: in [0, 1).
      key: None returns x.
      whole_images: draw once an image instead of once an element: stochastic depth, as torchvision's "row" mode.
    """
    if key is None or rate == 0.0:
        return x
    shape = (x.shape[0],) + (1,) * (x.ndim - 1) if whole_images else x.shape
    kept = jax.random.bernoulli(key, 1.0 - rate, shape)
    return jnp.where(kept, x / (1.0 - rate), jnp.zeros_like(x))


def shake_drop(x: jax.Array, pass_probability: float, key: jax.Array | None) -> jax.Array:
    r"""ShakeDrop (Yamada et al., arXiv:1802.02375, Eq. 6) on a residual.

    .. math:: (b + \alpha - b \alpha) x \text{ forward}, \quad (b + \beta - b \beta) g \text{ backward}

    The gate b is 1 with `pass_probability`, one for the whole batch; alpha ~ U(-1, 1) and beta ~ U(0, 1) are drawn for
    each image. The expectation of the forward factor is `pass_probability`, which evaluation multiplies by.

    Args:
      x: the residual, [B, H, W, C].
      pass_probability: p_l, in [0, 1].
      key: None for evaluation.
    """
    if key is None:
        return x * pass_probability
    gate_key, alpha_key, beta_key = jax.random.split(key, 3)
    gate = jax.random.bernoulli(gate_key, pass_probability)
    per_image = (x.shape[0], 1, 1, 1)
    alpha = jax.random.uniform(alpha_key, per_image, x.dtype, -1.0, 1.0)
    beta = jax.random.uniform(beta_key, per_image, x.dtype)
    return scale_apart(x, jnp.where(gate, 1.0, alpha), jnp.where(gate, 1.0, beta))


@jax.custom_vjp
def scale_apart(x: jax.Array, forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Multiplies x by `forward`, and its gradient by `backward`; the factors themselves get no gradient."""
    return x * forward


def _scale_forward(x: jax.Array, forward: jax.Array, backward: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x * forward, backward


def _scale_backward(backward: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    nothing = jnp.zeros_like(backward)
    return gradient * backward, nothing, nothing


scale_apart.defvjp(_scale_forward, _scale_backward)
