"""Convolution and linear layers in a short dtype whose weight gradient is float32 from the start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.spectral_norm import SpectralNorm
from softaug_jax.target import is_alone


class Conv(nnx.Conv):
    """Flax's convolution, computed in `dtype`; its parameters' gradients never leave float32.

    Flax casts the kernel first, so that the gradient is one of the short kernel: each device rounds its own, they are
    summed across devices in bfloat16, and the sum is cast. Here the cast is part of the convolution, and its gradient
    by the float32 kernel is computed, and so summed, in float32.

    Attributes:
      spectral: what bounds the kernel's spectral norm, as `spectral_norm.spectral_norms` sets it; None: nothing does.
    """

    spectral: SpectralNorm | None = None

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        """Images [B, H, W, C] to [B, H', W', C'] in `dtype`."""
        geometry = dict(
            window_strides=self.strides,
            padding=self.padding,
            feature_group_count=self.feature_group_count,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        kernel = self.kernel[...]
        if self.spectral is not None:
            kernel = self.spectral(kernel, x.shape[1:], **geometry)
        y = convolve(x.astype(self.dtype), kernel, **geometry)
        return y if self.bias is None else (y + self.bias[...].reshape(1, 1, 1, -1)).astype(self.dtype)


class Linear(nnx.Linear):
    """Flax's linear layer, computed in `dtype`; its parameters' gradients never leave float32, as those of `Conv`."""

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        """[B, F] to [B, D] in `dtype`."""
        y = product(jnp.dot, x.astype(self.dtype), self.kernel[...])
        return y if self.bias is None else (y + self.bias[...].reshape(1, -1)).astype(self.dtype)


def convolve(x: jax.Array, kernel: jax.Array, **geometry: Any) -> jax.Array:
    """`jax.lax.conv_general_dilated` in the dtype of x, with the kernel's gradient in the kernel's own: `product`.

    Args:
      x: [B, H, W, C].
      kernel: of the same dtype, or of a longer one.
      **geometry: what `conv_general_dilated` takes besides: strides, padding, dimension numbers, groups.
    """
    return product(partial(jax.lax.conv_general_dilated, **geometry), x, kernel)


def product(multiply: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A product that is linear in both factors, in the dtype of x, with the kernel's gradient in the kernel's own.

    That gradient is a product of x and the output's gradient, both of which are exact in float32. At JAX's default
    precision a TPU reads such inputs in bfloat16 and adds in float32 anyway, so that there it costs no more. A GPU
    reads them as float32, which costs time: a device that is alone has nothing to sum, and takes the short kernel's.

    Args:
      multiply: (x, kernel) -> y, of factors of one dtype.
      x: any shape.
      kernel: of the same dtype, or of a longer one.
    """
    if x.dtype == kernel.dtype or is_alone():
        return multiply(x, kernel.astype(x.dtype))

    @jax.custom_vjp
    def multiplied(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return multiply(x, kernel.astype(x.dtype))

    def forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return multiplied(x, kernel), (x, kernel)

    def backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, kernel = saved
        by_x = jax.linear_transpose(lambda x: multiply(x, kernel.astype(x.dtype)), x)
        by_kernel = jax.linear_transpose(lambda kernel: multiply(x.astype(kernel.dtype), kernel), kernel)
        return *by_x(gradient), *by_kernel(gradient.astype(kernel.dtype))

    multiplied.defvjp(forward, backward)
    return multiplied(x, kernel)
