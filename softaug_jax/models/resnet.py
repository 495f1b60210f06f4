"""Residual networks for small images (He et al., CVPR 2016): 3x3 stem, no pooling before the stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

# Kaiming normal by fan-out for convolutions, the layer's own default in PyTorch for the classifier: the CIFAR recipe.
CONV_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
LINEAR_INIT = nnx.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")


def conv(channels_in: int, channels: int, size: int, stride: int, *, dtype: Any, rngs: nnx.Rngs) -> nnx.Conv:
    """A square convolution without bias, padded as PyTorch does: (size - 1) / 2 on each side."""
    pad = (size - 1) // 2
    return nnx.Conv(
        channels_in,
        channels,
        (size, size),
        strides=stride,
        padding=((pad, pad), (pad, pad)),
        use_bias=False,
        kernel_init=CONV_INIT,
        dtype=dtype,
        rngs=rngs,
    )


def batch_norm(channels: int, *, dtype: Any, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """BatchNorm with PyTorch's constants; its statistics and parameters are float32 whatever `dtype` is."""
    return nnx.BatchNorm(channels, momentum=0.9, epsilon=1e-5, dtype=dtype, rngs=rngs)


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions and a shortcut: a projection, or (option A) subsampling with zero channels."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int, shortcut: str, *, dtype: Any, rngs: nnx.Rngs):
        self.conv1 = conv(channels_in, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm1 = batch_norm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, 1, dtype=dtype, rngs=rngs)
        self.norm2 = batch_norm(channels, dtype=dtype, rngs=rngs)
        self.stride, self.new_channels = stride, channels - channels_in
        self.project = (stride != 1 or channels_in != channels) and shortcut == "projection"
        if self.project:
            self.shortcut_conv = conv(channels_in, channels, 1, stride, dtype=dtype, rngs=rngs)
            self.shortcut_norm = batch_norm(channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.relu(y + self.shortcut(x))

    def shortcut(self, x: jax.Array) -> jax.Array:
        if self.project:
            return self.shortcut_norm(self.shortcut_conv(x))
        x = x[:, :: self.stride, :: self.stride]
        half = self.new_channels // 2
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (half, self.new_channels - half)))


class ResNet(nnx.Module):
    """Stem, stages of blocks, global average, linear classifier."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        *,
        num_classes: int,
        channels_in: int = 3,
        shortcut: str = "projection",
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dtype = dtype
        self.stem = conv(channels_in, widths[0], 3, 1, dtype=dtype, rngs=rngs)
        self.stem_norm = batch_norm(widths[0], dtype=dtype, rngs=rngs)
        blocks, channels = [], widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(BasicBlock(channels, width, stride, shortcut, dtype=dtype, rngs=rngs))
                channels = width * BasicBlock.expansion
        self.blocks = nnx.List(blocks)
        # The classifier's input and output are float32: softmax and loss are computed in float32.
        self.classifier = nnx.Linear(channels, num_classes, kernel_init=LINEAR_INIT, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images [B, H, W, C], normalised, to logits [B, N] in float32."""
        x = nnx.relu(self.stem_norm(self.stem(images.astype(self.dtype))))
        for block in self.blocks:
            x = block(x)
        return self.classifier(jnp.mean(x, (1, 2), dtype=jnp.float32))


def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18 with the CIFAR stem: 11,220,132 parameters at 100 classes."""
    return ResNet((2, 2, 2, 2), (64, 128, 256, 512), **kwargs)


def resnet8(**kwargs: Any) -> ResNet:
    """He et al.'s CIFAR family, 6n + 2 layers, with n = 1: small enough for a CPU."""
    return ResNet((1, 1, 1), (16, 32, 64), shortcut="zero_pad", **kwargs)


def resnet20(**kwargs: Any) -> ResNet:
    """He et al.'s CIFAR family with n = 3: 269,722 parameters at 10 classes."""
    return ResNet((3, 3, 3), (16, 32, 64), shortcut="zero_pad", **kwargs)
