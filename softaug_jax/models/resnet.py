"""Residual networks (He et al., CVPR 2016), with a stem for small images or for ImageNet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import BatchNorm, Network, classifier, conv, global_average

WIDTHS = (64, 128, 256, 512)
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


class Block(nnx.Module):
    """A residual and a shortcut: identity, a projection, or (option A) subsampling with zero channels."""

    expansion: int  # channels out, in multiples of `channels`

    def __init__(self, channels_in: int, channels: int, stride: int, shortcut: str, *, dtype: Any, rngs: nnx.Rngs):
        self.build(channels_in, channels, stride, dtype=dtype, rngs=rngs)
        channels_out = channels * self.expansion
        self.stride, self.new_channels = stride, channels_out - channels_in
        self.project = (stride != 1 or self.new_channels != 0) and shortcut == "projection"
        if self.project:
            self.shortcut_conv = conv(channels_in, channels_out, 1, stride, dtype=dtype, rngs=rngs)
            self.shortcut_norm = BatchNorm(channels_out, dtype=dtype, rngs=rngs)

    def build(self, channels_in: int, channels: int, stride: int, *, dtype: Any, rngs: nnx.Rngs) -> None:
        """Makes the layers of the residual."""
        raise NotImplementedError

    def residual(self, x: jax.Array) -> jax.Array:
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.residual(x) + self.shortcut(x))

    def shortcut(self, x: jax.Array) -> jax.Array:
        if self.project:
            return self.shortcut_norm(self.shortcut_conv(x))
        x = x[:, :: self.stride, :: self.stride]
        half = self.new_channels // 2
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (half, self.new_channels - half)))


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def build(self, channels_in: int, channels: int, stride: int, *, dtype: Any, rngs: nnx.Rngs) -> None:
        self.conv1 = conv(channels_in, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm1 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.norm2 = BatchNorm(channels, dtype=dtype, rngs=rngs)

    def residual(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.conv1(x)))
        return self.norm2(self.conv2(x))


class Bottleneck(Block):
    """1x1, 3x3, 1x1. The stride is on the 3x3 (torchvision's "v1.5"), on the first 1x1 in the paper."""

    expansion = 4

    def build(self, channels_in: int, channels: int, stride: int, *, dtype: Any, rngs: nnx.Rngs) -> None:
        self.conv1 = conv(channels_in, channels, 1, dtype=dtype, rngs=rngs)
        self.norm1 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm2 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv3 = conv(channels, channels * self.expansion, 1, dtype=dtype, rngs=rngs)
        self.norm3 = BatchNorm(channels * self.expansion, dtype=dtype, rngs=rngs)

    def residual(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.conv1(x)))
        x = nnx.relu(self.norm2(self.conv2(x)))
        return self.norm3(self.conv3(x))


class ResNet(Network):
    """Stem, stages of blocks, global average, linear classifier."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int] = WIDTHS,
        block: type[Block] = BasicBlock,
        *,
        num_classes: int,
        channels_in: int = 3,
        stem: str = "cifar",
        shortcut: str = "projection",
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype = dtype
        self.pool = stem == "imagenet"
        size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.stem = conv(channels_in, widths[0], size, stride, dtype=dtype, rngs=rngs)
        self.stem_norm = BatchNorm(widths[0], dtype=dtype, rngs=rngs)
        blocks, channels = [], widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(block(channels, width, stride, shortcut, dtype=dtype, rngs=rngs))
                channels = width * block.expansion
        self.blocks = nnx.List(blocks)
        self.classifier = classifier(channels, num_classes, rngs=rngs)

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F] in float32. Nothing is random."""
        x = nnx.relu(self.stem_norm(self.stem(images.astype(self.dtype))))
        if self.pool:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for block in self.blocks:
            x = block(x)
        return global_average(x)


def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18: 11,220,132 parameters at 100 classes with the CIFAR stem."""
    return ResNet(DEPTHS["resnet18"], **kwargs)


def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50: 23,705,252 parameters at 100 classes with the CIFAR stem, 25,557,032 on ImageNet."""
    return ResNet(DEPTHS["resnet50"], block=Bottleneck, **kwargs)


def resnet101(**kwargs: Any) -> ResNet:
    """ResNet-101: 42,697,380 parameters at 100 classes with the CIFAR stem, 44,549,160 on ImageNet."""
    return ResNet(DEPTHS["resnet101"], block=Bottleneck, **kwargs)


def resnet8(**kwargs: Any) -> ResNet:
    """He et al.'s CIFAR family, 6n + 2 layers, with n = 1: small enough for a CPU."""
    return ResNet((1, 1, 1), (16, 32, 64), shortcut="zero_pad", **kwargs)


def resnet20(**kwargs: Any) -> ResNet:
    """He et al.'s CIFAR family with n = 3: 269,722 parameters at 10 classes."""
    return ResNet((3, 3, 3), (16, 32, 64), shortcut="zero_pad", **kwargs)
