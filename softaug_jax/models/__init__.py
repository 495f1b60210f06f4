"""Networks by name, and the pure functions that the training step needs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.checks import UsageError
from softaug_jax.models import efficientnet, pyramidnet, resnet, wide_resnet
from softaug_jax.models.layers import Keys, Network, group_norms
from softaug_jax.target import platform

MODELS: dict[str, Callable[..., Network]] = {
    "resnet8": resnet.resnet8,
    "resnet18": resnet.resnet18,
    "resnet20": resnet.resnet20,
    "resnet50": resnet.resnet50,
    "resnet101": resnet.resnet101,
    "wideresnet10_1": wide_resnet.wideresnet10_1,
    "wideresnet28_10": wide_resnet.wideresnet28_10,
    "pyramidnet20_a24": pyramidnet.pyramidnet20_a24,
    "pyramidnet272": pyramidnet.pyramidnet272,
    "efficientnet_b0": efficientnet.efficientnet_b0,
}
STEMS = ("cifar", "imagenet")
SENSITIVE = ("wideresnet10_1", "wideresnet28_10")  # offer DDU's activations and shortcuts
WITH_IMAGENET_STEM = ("resnet18", "resnet50", "resnet101", "efficientnet_b0")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Model(NamedTuple):
    """A network as pure functions over plain dictionaries of arrays.

    init: key -> (params, batch_stats).
    train: params, batch_stats, inputs, key -> (outputs, batch_stats): for a classifier from images [B, H, W, C] to
      logits [B, N], for a siamese network from views [B, 2, H, W, C] to siamese.Embeddings. All that is random in the
      network is a function of the key; a network without such layers ignores it.
    predict: params, batch_stats, images [B, H, W, C] -> logits [B, N], or a siamese network's features [B, F]. Nothing
      is random: each image's row depends on it alone.
    features: params, batch_stats, images -> what the classifier is given, [B, F]; of a siamese network, as `predict`.
    """

    init: Callable[[jax.Array], tuple[Any, Any]]
    train: Callable[[Any, Any, jax.Array, jax.Array], tuple[Any, Any]]
    predict: Callable[[Any, Any, jax.Array], jax.Array]
    features: Callable[[Any, Any, jax.Array], jax.Array]


Change = Callable[[Any, Any], Any]  # a network as built, and where its keys come from -> the network, changed


def compute_dtype(name: str) -> Any:
    """The dtype of activations: by name, or for "auto" bfloat16 on TPU and GPU and float32 on CPU."""
    if name == "auto":
        return jnp.float32 if platform() == "cpu" else jnp.bfloat16
    if name not in DTYPES:
        raise UsageError(f"model.dtype = {name!r} is unknown. Choose from auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def create(
    name: str,
    *,
    num_classes: int,
    channels: int,
    dtype: str = "auto",
    stem: str = "cifar",
    norm_group: int = 0,
    sensitive: bool = False,
    change: Change = lambda network, rngs: network,
    train_call: Callable[[Any, jax.Array, jax.Array], Any] = lambda network, images, key: network(images, key),
) -> Model:
    """Builds a network by name.

    Args:
      name: a key of MODELS.
      num_classes: length of the logits.
      channels: of the images.
      dtype: of the activations: "auto", "float32" or "bfloat16".
      stem: "cifar" for images of some 32 pixels, "imagenet" for some 224, which only WITH_IMAGENET_STEM offer.
      norm_group: examples that BatchNorm takes its statistics over in training, a divisor of the batch; 0: all.
      sensitive: leaky activations and pooled shortcuts, as in DDU; only SENSITIVE offer them.
      change: what else makes the network of the one by that name: another head, bounded convolutions.
      train_call: what a training pass calls of it; it gets the network, images and a key.

    Raises:
      UsageError: if the name, the dtype or the stem is unknown, or the network does not offer what is asked for.
    """
    build = builder(name, num_classes=num_classes, channels=channels, dtype=dtype, stem=stem, sensitive=sensitive)
    return functional(
        lambda rngs: change(build(rngs), rngs),
        train_call=train_call,
        predict_call=lambda network, images: network(images, None),
        features_call=lambda network, images: network.features(images, None),
        norm_group=norm_group,
    )


def builder(
    name: str, *, num_classes: int, channels: int, dtype: str, stem: str, sensitive: bool = False
) -> Callable[[nnx.Rngs], Network]:
    """The constructor of a network by name, whose only argument is where its parameters' keys come from.

    Args and errors: those of `create`. The constructor raises UsageError if what it makes is no Network.
    """
    if name not in MODELS:
        raise UsageError(f"model = {name!r} is unknown. Choose from {', '.join(MODELS)}.")
    arguments = dict(num_classes=num_classes, channels_in=channels, dtype=compute_dtype(dtype))
    arguments.update(stem_argument(name, stem), **sensitive_argument(name, sensitive))

    def build(rngs: nnx.Rngs) -> Network:
        network = MODELS[name](**arguments, rngs=rngs)
        if not isinstance(network, Network):
            raise UsageError(
                f"model = {name!r} is a {type(network).__name__}. A network derives from models.layers.Network and has "
                "features(images, key) and a classifier, as models/resnet.py has."
            )
        return network

    return build


def functional(
    build: Callable[[nnx.Rngs], Any],
    *,
    train_call: Callable[[Any, jax.Array, jax.Array], Any],
    predict_call: Callable[[Any, jax.Array], jax.Array],
    features_call: Callable[[Any, jax.Array], jax.Array] | None = None,
    norm_group: int = 0,
) -> Model:
    """The pure functions of a module, by what to call of it: with inputs and a key in training, with images after.

    Without `features_call`, what is predicted are the features.
    """

    def construct(keys: Keys) -> Any:
        return group_norms(build(cast(nnx.Rngs, keys)), norm_group)

    counted = Keys(jax.random.key(0))
    abstract = nnx.eval_shape(lambda: construct(counted))
    train_graph = nnx.graphdef(abstract)
    eval_graph = nnx.graphdef(nnx.view(abstract, use_running_average=True))

    def init(key: jax.Array) -> tuple[Any, Any]:
        module = construct(Keys(key, counted))
        return nnx.to_pure_dict(nnx.state(module, nnx.Param)), nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def train(params: Any, stats: Any, inputs: jax.Array, key: jax.Array) -> tuple[Any, Any]:
        module = nnx.merge(train_graph, params, stats)
        outputs = train_call(module, inputs, key)
        return outputs, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def predict(params: Any, stats: Any, images: jax.Array) -> jax.Array:
        return predict_call(nnx.merge(eval_graph, params, stats), images)

    def features(params: Any, stats: Any, images: jax.Array) -> jax.Array:
        return (features_call or predict_call)(nnx.merge(eval_graph, params, stats), images)

    return Model(init, train, predict, features)


def sensitive_argument(name: str, sensitive: bool) -> dict[str, bool]:
    """What the network's constructor is told, or nothing; UsageError if the network does not offer it."""
    if sensitive and name not in SENSITIVE:
        raise UsageError(
            f"{name} has no leaky activations and pooled shortcuts. Choose from {', '.join(SENSITIVE)}, or set "
            "--config.ddu.sensitive=False for DDU without them."
        )
    return {"sensitive": True} if sensitive else {}


def stem_argument(name: str, stem: str) -> dict[str, str]:
    """The constructor's argument for the stem, if it has one; UsageError if the network does not offer it."""
    if stem not in STEMS:
        raise UsageError(f"model.stem = {stem!r} is unknown. Choose from {', '.join(STEMS)}.")
    if name in WITH_IMAGENET_STEM:
        return {"stem": stem}
    if stem == "imagenet":
        offered = ", ".join(WITH_IMAGENET_STEM)
        raise UsageError(
            f"model.stem = 'imagenet' is not offered by {name}, only by {offered}. Use model.stem = 'cifar'."
        )
    return {}
