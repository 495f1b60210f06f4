"""EfficientNet-B0 (Tan and Le, arXiv:1905.11946) as torchvision has it, with a stem for CIFAR or ImageNet."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import BatchNorm, Network, classifier, conv, global_average
from softaug_jax.models.stochastic import drop, subkey


class Stage(NamedTuple):
    """A row of the paper's Table 1; the stride is its first block's."""

    expand: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
B0 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


class SqueezeExcitation(nnx.Module):
    """Scales each channel by a number in (0, 1) computed from all channels' averages."""

    def __init__(self, channels: int, squeezed: int, *, dtype: Any, rngs: nnx.Rngs):
        self.reduce = conv(channels, squeezed, 1, bias=True, dtype=dtype, rngs=rngs)
        self.expand = conv(squeezed, channels, 1, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        average = jnp.mean(x, (1, 2), keepdims=True, dtype=jnp.float32)
        return x * nnx.sigmoid(self.expand(nnx.silu(self.reduce(average))))


class MBConv(nnx.Module):
    """1x1 to `expand` times the channels, depthwise convolution, squeeze and excitation, 1x1; a residual if it fits."""

    def __init__(self, channels_in: int, stage: Stage, stride: int, drop_rate: float, *, dtype: Any, rngs: nnx.Rngs):
        wide = channels_in * stage.expand
        self.widen = stage.expand != 1
        if self.widen:
            self.expand_conv = conv(channels_in, wide, 1, dtype=dtype, rngs=rngs)
            self.expand_norm = BatchNorm(wide, dtype=dtype, rngs=rngs)
        self.depthwise_conv = conv(wide, wide, stage.kernel, stride, groups=wide, dtype=dtype, rngs=rngs)
        self.depthwise_norm = BatchNorm(wide, dtype=dtype, rngs=rngs)
        self.squeeze = SqueezeExcitation(wide, max(1, channels_in // 4), dtype=dtype, rngs=rngs)
        self.project_conv = conv(wide, stage.channels, 1, dtype=dtype, rngs=rngs)
        self.project_norm = BatchNorm(stage.channels, dtype=dtype, rngs=rngs)
        self.residual = stride == 1 and channels_in == stage.channels
        self.drop_rate = drop_rate

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        y = nnx.silu(self.expand_norm(self.expand_conv(x))) if self.widen else x
        y = nnx.silu(self.depthwise_norm(self.depthwise_conv(y)))
        y = self.project_norm(self.project_conv(self.squeeze(y)))
        return x + drop(y, self.drop_rate, key, whole_images=True) if self.residual else y


class EfficientNet(Network):
    """Stem, stages of MBConv blocks, 1x1 head, global average, dropout, linear classifier.

    Args:
      stem: "imagenet" halves the image at once; "cifar" leaves it, and the stages go from 32 pixels to 2.
      drop_path_rate: stochastic depth; block i of L drops its residual with drop_path_rate * i / L.
      dropout_rate: before the classifier.
    """

    def __init__(
        self,
        stages: tuple[Stage, ...] = B0,
        *,
        num_classes: int,
        channels_in: int = 3,
        stem: str = "cifar",
        drop_path_rate: float = 0.2,
        dropout_rate: float = 0.2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype, self.dropout_rate = dtype, dropout_rate
        self.stem = conv(channels_in, STEM_CHANNELS, 3, 2 if stem == "imagenet" else 1, dtype=dtype, rngs=rngs)
        self.stem_norm = BatchNorm(STEM_CHANNELS, dtype=dtype, rngs=rngs)
        count = sum(stage.blocks for stage in stages)
        blocks: list[MBConv] = []
        channels = STEM_CHANNELS
        for stage in stages:
            for i in range(stage.blocks):
                rate = drop_path_rate * len(blocks) / count
                blocks.append(MBConv(channels, stage, 1 if i else stage.stride, rate, dtype=dtype, rngs=rngs))
                channels = stage.channels
        self.blocks = nnx.List(blocks)
        self.head_conv = conv(channels, HEAD_CHANNELS, 1, dtype=dtype, rngs=rngs)
        self.head_norm = BatchNorm(HEAD_CHANNELS, dtype=dtype, rngs=rngs)
        self.classifier = classifier(HEAD_CHANNELS, num_classes, rngs=rngs)

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F] in float32. Without a key nothing is dropped."""
        x = nnx.silu(self.stem_norm(self.stem(images.astype(self.dtype))))
        for i, block in enumerate(self.blocks):
            x = block(x, subkey(key, i))
        return global_average(nnx.silu(self.head_norm(self.head_conv(x))))

    def __call__(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images to logits [B, N]; dropout is the classifier's, not the features'."""
        features = self.features(images, key)
        return self.classifier(drop(features, self.dropout_rate, subkey(key, len(self.blocks))))


def efficientnet_b0(**kwargs: Any) -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters on ImageNet."""
    return EfficientNet(B0, **kwargs)
