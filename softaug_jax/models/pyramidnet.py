"""PyramidNet (Han et al., arXiv:1610.02915) of bottlenecks, with ShakeDrop (Yamada et al., arXiv:1802.02375)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import BatchNorm, Network, classifier, conv, global_average
from softaug_jax.models.stochastic import linear_decay, shake_drop, subkey

STEM_CHANNELS = 16


class Block(nnx.Module):
    """Norm, 1x1, norm, ReLU, 3x3, norm, ReLU, 1x1, norm. The shortcut has no parameters: new channels are zero."""

    expansion = 4

    def __init__(
        self, channels_in: int, channels: int, stride: int, pass_probability: float, *, dtype: Any, rngs: nnx.Rngs
    ):
        channels_out = channels * self.expansion
        self.norm1 = BatchNorm(channels_in, dtype=dtype, rngs=rngs)
        self.conv1 = conv(channels_in, channels, 1, dtype=dtype, rngs=rngs)
        self.norm2 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv2 = conv(channels, channels, 3, stride, dtype=dtype, rngs=rngs)
        self.norm3 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.conv3 = conv(channels, channels_out, 1, dtype=dtype, rngs=rngs)
        self.norm4 = BatchNorm(channels_out, dtype=dtype, rngs=rngs)
        self.stride, self.new_channels = stride, channels_out - channels_in
        self.pass_probability = pass_probability

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        y = self.conv1(self.norm1(x))
        y = self.conv2(nnx.relu(self.norm2(y)))
        y = self.norm4(self.conv3(nnx.relu(self.norm3(y))))
        return shake_drop(y, self.pass_probability, key) + self.shortcut(x)

    def shortcut(self, x: jax.Array) -> jax.Array:
        if self.stride == 2:
            x = nnx.avg_pool(x, (2, 2), strides=(2, 2), padding="SAME", count_include_pad=False)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.new_channels)))


class PyramidNet(Network):
    """`depth` 9n + 2 makes three stages of n blocks; over all of them the bottlenecks widen by `alpha` in equal steps.

    Args:
      depth: layers.
      alpha: channels that the last bottleneck has more than the stem's 16.
      last_pass_probability: ShakeDrop's p_L.
    """

    def __init__(
        self,
        depth: int,
        alpha: int,
        *,
        num_classes: int,
        channels_in: int = 3,
        last_pass_probability: float = 0.5,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"depth = {depth} must be 9n + 2: 11, 20, 29, ...")
        self.dtype = dtype
        self.stem = conv(channels_in, STEM_CHANNELS, 3, dtype=dtype, rngs=rngs)
        self.stem_norm = BatchNorm(STEM_CHANNELS, dtype=dtype, rngs=rngs)
        per_stage = (depth - 2) // 9
        count = 3 * per_stage
        blocks, channels = [], STEM_CHANNELS
        for i in range(count):
            width = round(STEM_CHANNELS + alpha * (i + 1) / count)
            stride = 2 if i in (per_stage, 2 * per_stage) else 1
            pass_probability = linear_decay(i, count, last_pass_probability)
            blocks.append(Block(channels, width, stride, pass_probability, dtype=dtype, rngs=rngs))
            channels = width * Block.expansion
        self.blocks = nnx.List(blocks)
        self.final_norm = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.classifier = classifier(channels, num_classes, rngs=rngs)

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F], float32. Without a key ShakeDrop is its expectation."""
        x = self.stem_norm(self.stem(images.astype(self.dtype)))
        for i, block in enumerate(self.blocks):
            x = block(x, subkey(key, i))
        return global_average(nnx.relu(self.final_norm(x)))


def pyramidnet272(**kwargs: Any) -> PyramidNet:
    """PyramidNet-272, alpha 200: 26,288,692 parameters at 100 classes."""
    return PyramidNet(272, 200, **kwargs)


def pyramidnet20_a24(**kwargs: Any) -> PyramidNet:
    """PyramidNet-20, alpha 24, six blocks: small enough for a CPU."""
    return PyramidNet(20, 24, **kwargs)
