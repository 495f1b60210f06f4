"""Spectral normalisation of convolutions (Miyato et al., ICLR 2018) up to a bound, as SNGP and DDU have it.

The norm is that of the convolution as a linear map of whole images, strides and padding included (Gouk et al.,
arXiv:1804.04368), not of the kernel reshaped to a matrix, which bounds it only loosely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx

if TYPE_CHECKING:
    from softaug_jax.models.layers import Network

TINY = 1e-30  # under a square root, whose slope at zero is infinite


class SpectralNorm(nnx.Module):
    r"""Divides a kernel by what its convolution's spectral norm is above the bound.

    .. math:: K / \max(1, \sigma / c), \qquad \sigma = |A_K v|, \qquad v \leftarrow A_K^T A_K v / |A_K^T A_K v|

    (arXiv:2006.10108, Eq. 10). One step of the power iteration each training step; v is kept with BatchNorm's
    statistics and stays in evaluation. The gradient takes v as constant, so that it is u v^T, u = A v / |A v|. It costs
    three convolutions of one image a layer and step, forward, whatever the batch.

    Args:
      bound: c, > 0.
    """

    def __init__(self, bound: float):
        self.bound, self.use_running_average = bound, False
        self.input_shape: tuple[int, ...] | None = None  # (H, W, C), as last seen before `start`

    def set_view(self, use_running_average: bool | None = None) -> None:
        """As BatchNorm's: True for evaluation."""
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def start(self, key: jax.Array) -> None:
        """Draws the first direction v, of the shape of the input that was seen."""
        assert self.input_shape is not None
        self.direction = nnx.BatchStat(_unit(jax.random.normal(key, (1, *self.input_shape))))

    def __call__(self, kernel: jax.Array, input_shape: tuple[int, ...], **geometry: Any) -> jax.Array:
        """The kernel, bounded; `geometry` is what `conv_general_dilated` takes besides. Before `start`: as it is."""
        if not hasattr(self, "direction"):
            self.input_shape = input_shape
            return kernel

        # At full precision: on TPU and GPU a float32 product is rounded to fewer bits otherwise.
        def convolved(v: jax.Array, kernel: jax.Array) -> jax.Array:
            return jax.lax.conv_general_dilated(v, kernel, precision="highest", **geometry)

        v = self.direction[...]
        if not self.use_running_average:
            fixed = jax.lax.stop_gradient(kernel)
            transposed = jax.linear_transpose(lambda v: convolved(v, fixed), v)
            v = _unit(*transposed(convolved(v, fixed)))
            self.direction.set_value(v)
        sigma = jnp.sqrt(jnp.sum(jnp.square(convolved(v, kernel))) + TINY)
        return kernel / jnp.maximum(1.0, sigma / self.bound)


def spectral_norms(network: Network, bound: float, *, image_shape: tuple[int, int, int], rngs: Any) -> Network:
    """The network, all of its convolutions' spectral norms at most about `bound` in training and evaluation; 0: as is.

    Args:
      network: as built, in training mode. Its parameters keep their names and values.
      bound: of each convolution by itself; BatchNorm between them may still stretch.
      image_shape: (H, W, C) of the images that it will be given; the norms are those of maps of such images.
      rngs: where the keys of the first directions come from.
    """
    if not bound:
        return network
    convolutions = _convolutions(network)
    for convolution in convolutions:
        convolution.spectral = SpectralNorm(bound)
    shapes: list[tuple[int, ...]] = []

    def trace(images: jax.Array) -> jax.Array:
        copy = nnx.view(network, use_running_average=True)
        features = copy.features(images)
        shapes.extend(convolution.spectral.input_shape for convolution in _convolutions(copy))
        return features

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
    for convolution, shape in zip(convolutions, shapes, strict=True):
        convolution.spectral.input_shape = shape
        convolution.spectral.start(rngs.params())
    return network


def _convolutions(network: Any) -> list[Any]:
    return [module for _, module in nnx.iter_graph(network) if hasattr(module, "spectral")]


def _unit(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x)) + TINY)
