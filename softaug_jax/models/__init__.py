"""Networks by name, and the pure functions that the training step needs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.checks import UsageError
from softaug_jax.models import resnet

MODELS: dict[str, Callable[..., nnx.Module]] = {
    "resnet8": resnet.resnet8,
    "resnet18": resnet.resnet18,
    "resnet20": resnet.resnet20,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Model(NamedTuple):
    """A network as pure functions over plain dictionaries of arrays."""

    init: Callable[[jax.Array], tuple[Any, Any]]  # key -> (params, batch_stats)
    train: Callable[[Any, Any, jax.Array], tuple[jax.Array, Any]]  # params, batch_stats, images -> logits, batch_stats
    predict: Callable[[Any, Any, jax.Array], jax.Array]  # params, batch_stats, images -> logits


def compute_dtype(name: str) -> Any:
    """The dtype of activations: by name, or for "auto" bfloat16 on TPU and GPU and float32 on CPU."""
    if name == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    if name not in DTYPES:
        raise UsageError(f"model.dtype = {name!r} is unknown. Choose from auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def create(name: str, *, num_classes: int, channels: int, dtype: str = "auto") -> Model:
    """Builds a network by name.

    Raises:
      UsageError: if the name or the dtype is unknown.
    """
    if name not in MODELS:
        raise UsageError(f"model = {name!r} is unknown. Choose from {', '.join(MODELS)}.")
    arguments = dict(num_classes=num_classes, channels_in=channels, dtype=compute_dtype(dtype))

    def build(key: jax.Array) -> nnx.Module:
        return MODELS[name](**arguments, rngs=nnx.Rngs(key))

    abstract = nnx.eval_shape(lambda: build(jax.random.key(0)))
    train_graph = nnx.graphdef(abstract)
    eval_graph = nnx.graphdef(nnx.view(abstract, use_running_average=True))

    def init(key: jax.Array) -> tuple[Any, Any]:
        network = build(key)
        return nnx.to_pure_dict(nnx.state(network, nnx.Param)), nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    def train(params: Any, stats: Any, images: jax.Array) -> tuple[jax.Array, Any]:
        module = nnx.merge(train_graph, params, stats)
        logits = module(images)
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def predict(params: Any, stats: Any, images: jax.Array) -> jax.Array:
        return nnx.merge(eval_graph, params, stats)(images)

    return Model(init, train, predict)
