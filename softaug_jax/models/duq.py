"""The network of DUQ (van Amersfoort et al., ICML 2020): an embedding for each class, near its centroid or far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx


class Outputs(NamedTuple):
    """What training sees of a batch."""

    embeddings: jax.Array  # z, [B, N, E]
    pullback: Callable[[jax.Array], tuple[jax.Array]] | None  # gradient by embeddings -> by images, itself a pytree


class ClassEmbeddings(nnx.Module):
    """z_c = W_c f: features [B, F] to one embedding for each class, [B, N, E], in float32 (Eq. 1)."""

    def __init__(self, channels: int, num_classes: int, embedding_dim: int, *, rngs: Any):
        # He normal, the fan-in counted as in the authors' code: over classes and features.
        scale = (2.0 / (num_classes * channels)) ** 0.5
        shape = (num_classes, channels, embedding_dim)
        self.kernel = nnx.Param(scale * jax.random.normal(rngs.params(), shape))

    def __call__(self, features: jax.Array) -> jax.Array:
        return jnp.einsum("bf,nfe->bne", features, self.kernel[...])


def train_call(network: Any, images: jax.Array, key: jax.Array) -> Outputs:
    """A training pass that can be led back to the images, which the gradient penalty needs.

    What is led back may be differentiated again. BatchNorm's statistics are part of it, as in the authors' code: an
    image's gradient is of all the batch's kernels.
    """
    graph, *states = nnx.split(network, nnx.Param, nnx.BatchStat)
    params, stats = map(nnx.to_pure_dict, states)

    def embed(images: jax.Array) -> tuple[jax.Array, Any]:
        module = nnx.merge(graph, params, stats)
        return module(images, key), nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    embeddings, pullback, moved = jax.vjp(embed, images, has_aux=True)
    nnx.update(network, moved)
    return Outputs(embeddings, pullback)


def log_kernel(embeddings: jax.Array, centroids: jax.Array, length_scale: float) -> jax.Array:
    r"""Log of the RBF kernel of each class's embedding and centroid.

    .. math:: \log K_c = - \frac{1}{2 \sigma^2} \frac{1}{E} |z_c - e_c|^2

    (Eq. 1.) Args: embeddings z [B, N, E], centroids e [N, E], length scale sigma > 0. Returns [B, N], at most 0.
    """
    distance = jnp.mean(jnp.square(embeddings - centroids[None]), -1)
    return -distance / (2.0 * length_scale**2)
