"""Siamese networks, which learn from two views of an image without labels: SimSiam and Barlow Twins.

A backbone gives features; a projector, and for SimSiam a predictor, turn them into what the loss compares. Only the
backbone is used afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax import models
from softaug_jax.checks import UsageError, check_count
from softaug_jax.models.convolution import Linear
from softaug_jax.models.layers import LINEAR_INIT, BatchNorm, Network
from softaug_jax.models.stochastic import subkey

METHODS = ("simsiam", "barlow_twins")


class Embeddings(NamedTuple):
    """Both views' outputs, in float32: `predictions` is None where the method has no predictor."""

    projections: jax.Array  # z, [B, 2, D]
    predictions: jax.Array | None  # p, [B, 2, D]


def create(
    name: str,
    *,
    method: str,
    channels: int,
    dtype: str = "auto",
    projector_layers: int = 2,
    projection_dim: int = 2048,
    predictor_dim: int = 512,
    stem: str = "cifar",
    norm_group: int = 0,
) -> models.Model:
    """Builds a siamese network on any backbone. Its parameters lie under "backbone", "projector" and "predictor".

    `train` takes views [B, 2, H, W, C] and returns Embeddings. Each view goes through the network by itself, as in
    both papers: BatchNorm normalises by one view's statistics, and the running ones move twice a step. What is random
    in the backbone is drawn for each view. `predict` takes images [B, H, W, C] and returns the backbone's features
    [B, F] in float32, with running statistics.

    Args:
      name: the backbone, a key of models.MODELS; its classifier is left out.
      method: "simsiam" (Chen and He, CVPR 2021) or "barlow_twins" (Zbontar et al., ICML 2021), which has no predictor.
      channels: of the images.
      dtype: of the activations: "auto", "float32" or "bfloat16".
      projector_layers: linear layers of the projector. SimSiam has 2 on CIFAR and 3 on ImageNet, Barlow Twins has 3.
      projection_dim: D, the width of each of them.
      predictor_dim: the width of the predictor's hidden layer; Barlow Twins ignores it.
      stem: as in models.create.
      norm_group: as in models.create; a view's examples, not a pair's.

    Raises:
      UsageError: if the name, the method, the dtype or the stem is unknown, or the backbone does not offer that stem.
      ValueError: if a width or the number of layers is not a whole number, at least 1.
    """
    if method not in METHODS:
        raise UsageError(f"method = {method!r} is unknown. Choose from {', '.join(METHODS)}.")
    for argument, value in (
        ("projector_layers", projector_layers),
        ("projection_dim", projection_dim),
        ("predictor_dim", predictor_dim),
    ):
        check_count(argument, value, at_least=1)
    backbone = models.builder(name, num_classes=1, channels=channels, dtype=dtype, stem=stem)
    heads = dict(
        projector_widths=(projection_dim,) * projector_layers,
        predictor_width=predictor_dim if method == "simsiam" else None,
        dtype=models.compute_dtype(dtype),
    )
    return models.functional(
        lambda rngs: Siamese(backbone(rngs), **heads, rngs=rngs),
        train_call=lambda siamese, views, key: siamese(views, key),
        predict_call=lambda siamese, images: siamese.backbone.features(images, None),
        norm_group=norm_group,
    )


class Siamese(nnx.Module):
    """Backbone, projector and, if it has a width, predictor: SimSiam with a predictor, Barlow Twins without."""

    def __init__(
        self,
        backbone: Network,
        *,
        projector_widths: Sequence[int],
        predictor_width: int | None,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        widths = (backbone.classifier.in_features, *projector_widths)
        del backbone.classifier
        self.backbone = backbone
        # SimSiam's projector ends with BatchNorm, without scale and bias as in its authors' code. Barlow Twins' ends
        # with a bare product.
        self.projector = MLP(widths, norm_last=predictor_width is not None, dtype=dtype, rngs=rngs)
        around = None if predictor_width is None else (widths[-1], predictor_width, widths[-1])
        self.predictor = None if around is None else MLP(around, bias_last=True, dtype=dtype, rngs=rngs)

    def __call__(self, views: jax.Array, key: jax.Array | None) -> Embeddings:
        """Views [B, 2, H, W, C], normalised, to embeddings [B, 2, D], one view after the other."""
        if views.ndim != 5 or views.shape[1] != 2:
            raise ValueError(f"views have shape {views.shape}; they must be [B, 2, H, W, C], two views an image.")
        features = [self.backbone.features(views[:, view], subkey(key, view)) for view in range(2)]
        projections = [self.projector(x) for x in features]
        if self.predictor is None:
            return Embeddings(jnp.stack(projections, 1), None)
        predictions = [self.predictor(z) for z in projections]
        return Embeddings(jnp.stack(projections, 1), jnp.stack(predictions, 1))


class MLP(nnx.Module):
    """Linear layers [B, F] -> [B, D], with BatchNorm and ReLU after all but the last, which is float32.

    Args:
      widths: of the input, then of each layer.
      norm_last: whether BatchNorm without scale and bias follows the last layer.
      bias_last: whether the last layer has a bias; the others' would be undone by the BatchNorm that follows.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        norm_last: bool = False,
        bias_last: bool = False,
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        *hidden, last = pairwise(widths)
        self.linears = nnx.List([_linear(*pair, bias=False, dtype=dtype, rngs=rngs) for pair in hidden])
        self.norms = nnx.List([BatchNorm(width, dtype=dtype, rngs=rngs) for _, width in hidden])
        self.last = _linear(*last, bias=bias_last, dtype=jnp.float32, rngs=rngs)
        self.last_norm = BatchNorm(last[1], affine=False, dtype=jnp.float32, rngs=rngs) if norm_last else None

    def __call__(self, x: jax.Array) -> jax.Array:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = nnx.relu(norm(linear(x)))
        x = self.last(x)
        return x if self.last_norm is None else self.last_norm(x)


def _linear(width_in: int, width: int, *, bias: bool, dtype: Any, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that starts as PyTorch's, the frame of both papers' code; its bias starts at 0."""
    return Linear(width_in, width, use_bias=bias, kernel_init=LINEAR_INIT, dtype=dtype, rngs=rngs)
