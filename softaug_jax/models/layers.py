"""What the networks share: their interface, convolution, normalisation, the classifier, and how each starts."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.convolution import Conv

# The layer's own default in PyTorch for the classifier, as in the CIFAR recipe; convolutions: `he_normal`.
LINEAR_INIT = nnx.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")


class Keys:
    """What layers ask of `nnx.Rngs` when they are made, and the same keys; and kernels, all cut from one draw.

    Flax counts in an array, and under a trace each read of it looks through all that was traced before: with its own
    class PyramidNet-272 takes 18 s to build and 15 s to initialise, with this one 4 s and 1 s.

    XLA compiles each draw as a program of its own, and slowly: with one for each of its 271 convolutions the initial
    state of PyramidNet-272 took 268 s to compile for a GPU, on two CPU cores, and ResNet-18's 9.0 s; so it is 24 and
    1.9 s. For a TPU ResNet-18's took 8.8 s, and takes 7.1.

    Args:
      key: that all others derive from.
      counted: those that the same network was built with before, so that it is known how much to draw. None: only
        shapes are wanted, and all kernels are 0.
    """

    def __init__(self, key: jax.Array, counted: Keys | None = None):
        self._key, self._count, self._rows = key, 0, 0
        self._normals = None
        if counted is not None:
            normals = jax.random.normal(jax.random.fold_in(key, counted._count), (counted._rows, 128))
            self._normals = jax.lax.optimization_barrier(normals)  # XLA would draw each kernel's by itself after all

    def params(self) -> jax.Array:
        """The key of the next parameter."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count - 1)

    def he_normal(self, _: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        """The next kernel, as the function of this name makes it of a key."""
        size, first = math.prod(shape), self._rows
        self._rows += -(-size // 1024) * 8  # rows of 128, eight at a time: a TPU's tiles
        if self._normals is None:
            return jnp.zeros(shape, dtype)
        normals = self._normals[first : self._rows].reshape(-1)[:size]
        return normals.reshape(shape).astype(dtype) * he_deviation(shape)


def he_normal(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """A kernel [H, W, C_in, C_out] as the CIFAR recipe starts it."""
    return jax.random.normal(key, shape, dtype) * he_deviation(shape)


def he_deviation(shape: tuple[int, ...]) -> float:
    """He's standard deviation by fan-out of a kernel [H, W, C_in, C_out]."""
    return math.sqrt(2 / (math.prod(shape[:-2]) * shape[-1]))


def conv(
    channels_in: int,
    channels: int,
    size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
    dtype: Any,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution of odd size, padded as PyTorch does: (size - 1) / 2 on each side."""
    pad = (size - 1) // 2
    return Conv(
        channels_in,
        channels,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=rngs.he_normal if isinstance(rngs, Keys) else he_normal,
        dtype=dtype,
        rngs=rngs,
    )


class Network(nnx.Module):
    """Features of images and a linear classifier on them, which may be deleted where features are all that is used."""

    classifier: nnx.Linear

    def features(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to features [B, F] in float32. What is random is a function of the key."""
        raise NotImplementedError

    def __call__(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Images [B, H, W, C], normalised, to logits [B, N] in float32."""
        return self.classifier(self.features(images, key))


class BatchNorm(nnx.BatchNorm):
    """BatchNorm with PyTorch's constants, computed in float32; only its result has `dtype`.

    Flax's own would round the running statistics to `dtype` in evaluation, though not the batch's in training. It also
    sets them in a way that reads the traced array's sharding, at the same price as in `Keys`: tracing a training step
    of PyramidNet-272 took 90 s.

    With `group` > 0 a training batch is normalised in groups of so many examples, each by its own statistics ("ghost
    batches", Hoffer et al., arXiv:1705.08741). Where no group is split over devices, none waits for another.

    Args:
      affine: whether a learnt scale and bias follow.

    Attributes:
      group: examples whose statistics are taken together in training, as `group_norms` sets it; 0: all.
    """

    group: int = 0

    def __init__(self, channels: int, *, affine: bool = True, dtype: Any, rngs: nnx.Rngs):
        super().__init__(
            channels, momentum=0.9, epsilon=1e-5, use_scale=affine, use_bias=affine, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        """Normalises [B, ..., C], images or vectors, over all axes but the last, in training a group at a time.

        Raises:
          ValueError: in training, if the batch is not a multiple of the group.
        """
        shape, x = x.shape, x.astype(jnp.float32)
        if self.use_running_average:
            x, mean, var = x[None], self.mean[...][None], self.var[...][None]
        else:
            x = x.reshape(-1, self._examples(shape[0]), *shape[1:])
            mean, var = self._statistics(x)
        gain = jax.lax.rsqrt(var + self.epsilon)
        if self.scale is not None:
            gain = gain * self.scale[...][None]
        y = (x - _to_rank(mean, x.ndim)) * _to_rank(gain, x.ndim)
        if self.bias is not None:
            y = y + _to_rank(self.bias[...][None], x.ndim)
        return y.reshape(shape).astype(self.dtype)

    def _examples(self, batch: int) -> int:
        """How many examples a group has."""
        if self.group and batch % self.group:
            raise ValueError(
                f"norm_group = {self.group} does not divide the batch of {batch}. Use a divisor of it, or 0 for all."
            )
        return self.group or batch

    def _statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Each group's mean and biased variance [G, C], in one pass; moves the running ones towards their average."""
        axes = tuple(range(1, x.ndim - 1))
        mean = jnp.mean(x, axes)
        var = jnp.maximum(0.0, jnp.mean(jnp.square(x), axes) - jnp.square(mean))
        for running, value in ((self.mean, mean), (self.var, var)):
            running.set_value(self.momentum * running[...] + (1 - self.momentum) * jnp.mean(value, 0))
        return mean, var


def group_norms(network: nnx.Module, group: int) -> Any:
    """The network, its BatchNorms taking their statistics over groups of so many examples in training; 0: all."""
    for _, module in nnx.iter_graph(network):
        if isinstance(module, BatchNorm):
            module.group = group
    return network


def _to_rank(channels: jax.Array, rank: int) -> jax.Array:
    """[G, C] to [G, 1, ..., 1, C]."""
    return channels.reshape(channels.shape[0], *(1,) * (rank - 2), channels.shape[1])


def global_average(x: jax.Array) -> jax.Array:
    """[B, H, W, C] to [B, C] in float32, as is all that follows: classifier, softmax and loss."""
    return jnp.mean(x, (1, 2), dtype=jnp.float32)


def classifier(channels: int, num_classes: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer from features [B, C] to logits [B, N], in float32."""
    return nnx.Linear(channels, num_classes, kernel_init=LINEAR_INIT, rngs=rngs)
