"""Wide residual networks (Zagoruyko and Komodakis, arXiv:1605.07146): pre-activation, few layers, many channels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import BatchNorm, Network, classifier, conv, global_average


class Block(nnx.Module):
    """Norm, ReLU, 3x3, twice. A shortcut that changes shape starts after the first ReLU, the others at the input."""

    def __init__(self, channels_in: int, channels: int, stride: int, *, dtype: Any, rngs: nnx.Rngs):
        self.norm1 = BatchNorm(channels_in, dtype=dtype, rngs=rngs)
        self.conv1 = conv(channels_in, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm2 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.project = stride != 1 or channels_in != channels
        if self.project:
            self.shortcut_conv = conv(channels_in, channels, 1, stride, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        active = nnx.relu(self.norm1(x))
        shortcut = self.shortcut_conv(active) if self.project else x
        y = nnx.relu(self.norm2(self.conv1(active)))
        return self.conv2(y) + shortcut


class WideResNet(Network):
    """WRN-d-k: `depth` 6n + 4 makes three stages of n blocks, with 16, 32 and 64 times `widen` channels."""

    def __init__(
        self,
        depth: int,
        widen: int,
        *,
        num_classes: int,
        channels_in: int = 3,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth = {depth} must be 6n + 4: 10, 16, 22, 28, ...")
        self.dtype = dtype
        self.stem = conv(channels_in, 16, 3, dtype=dtype, rngs=rngs)
        blocks, channels = [], 16
        for stage, base in enumerate((16, 32, 64)):
            for i in range((depth - 4) // 6):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(Block(channels, base * widen, stride, dtype=dtype, rngs=rngs))
                channels = base * widen
        self.blocks = nnx.List(blocks)
        self.final_norm = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.classifier = classifier(channels, num_classes, rngs=rngs)

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F] in float32. Nothing is random: there is no dropout."""
        x = self.stem(images.astype(self.dtype))
        for block in self.blocks:
            x = block(x)
        return global_average(nnx.relu(self.final_norm(x)))


def wideresnet28_10(**kwargs: Any) -> WideResNet:
    """WRN-28-10: 36,536,884 parameters at 100 classes."""
    return WideResNet(28, 10, **kwargs)


def wideresnet10_1(**kwargs: Any) -> WideResNet:
    """WRN-10-1, three blocks: small enough for a CPU."""
    return WideResNet(10, 1, **kwargs)
