"""Wide residual networks (Zagoruyko and Komodakis, arXiv:1605.07146): pre-activation, few layers, many channels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import BatchNorm, Network, classifier, conv, global_average


class Block(nnx.Module):
    """Norm, ReLU, 3x3, twice. A shortcut that changes shape starts after the first ReLU, the others at the input.

    Args:
      sensitive: as in WideResNet; every shortcut starts at the input then.
    """

    def __init__(
        self, channels_in: int, channels: int, stride: int, *, sensitive: bool = False, dtype: Any, rngs: nnx.Rngs
    ):
        self.sensitive, self.stride, self.added = sensitive, stride, channels - channels_in
        self.norm1 = BatchNorm(channels_in, dtype=dtype, rngs=rngs)
        self.conv1 = conv(channels_in, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm2 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.project = not sensitive and (stride != 1 or channels_in != channels)
        if self.project:
            self.shortcut_conv = conv(channels_in, channels, 1, stride, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        active = activation(self.norm1(x), self.sensitive)
        y = activation(self.norm2(self.conv1(active)), self.sensitive)
        if self.project:
            return self.conv2(y) + self.shortcut_conv(active)
        return self.conv2(y) + (pooled(x, self.stride, self.added) if self.sensitive else x)


class WideResNet(Network):
    """WRN-d-k: `depth` 6n + 4 makes three stages of n blocks, with 16, 32 and 64 times `widen` channels.

    Args:
      sensitive: DDU's changes (Mukhoti et al., arXiv:2102.11582), by which different images keep different features:
        leaky ReLU, and shortcuts that pool and add channels of zeros where they would be 1x1 convolutions.
    """

    def __init__(
        self,
        depth: int,
        widen: int,
        *,
        num_classes: int,
        channels_in: int = 3,
        sensitive: bool = False,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth = {depth} must be 6n + 4: 10, 16, 22, 28, ...")
        self.dtype, self.sensitive = dtype, sensitive
        self.stem = conv(channels_in, 16, 3, dtype=dtype, rngs=rngs)
        blocks, channels = [], 16
        for stage, base in enumerate((16, 32, 64)):
            for i in range((depth - 4) // 6):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(Block(channels, base * widen, stride, sensitive=sensitive, dtype=dtype, rngs=rngs))
                channels = base * widen
        self.blocks = nnx.List(blocks)
        self.final_norm = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.classifier = classifier(channels, num_classes, rngs=rngs)

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F] in float32. Nothing is random: there is no dropout."""
        x = self.stem(images.astype(self.dtype))
        for block in self.blocks:
            x = block(x)
        return global_average(activation(self.final_norm(x), self.sensitive))


def activation(x: jax.Array, sensitive: bool) -> jax.Array:
    """ReLU, or if `sensitive` leaky ReLU with slope 0.01."""
    return nnx.leaky_relu(x) if sensitive else nnx.relu(x)


def pooled(x: jax.Array, stride: int, added: int) -> jax.Array:
    """Averages each square of `stride` pixels and adds channels of zeros; what does not fill a square is left out."""
    mean = nnx.avg_pool(x, (stride, stride), strides=(stride, stride))
    return jnp.pad(mean, ((0, 0), (0, 0), (0, 0), (0, added)))


def wideresnet28_10(**kwargs: Any) -> WideResNet:
    """WRN-28-10: 36,536,884 parameters at 100 classes."""
    return WideResNet(28, 10, **kwargs)


def wideresnet10_1(**kwargs: Any) -> WideResNet:
    """WRN-10-1, three blocks: small enough for a CPU."""
    return WideResNet(10, 1, **kwargs)
