"""The output layer of SNGP (Liu et al., arXiv:2006.10108): a Gaussian process on random Fourier features."""

from __future__ import annotations

from math import pi
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from softaug_jax.models.layers import LINEAR_INIT

EPSILON = 1e-6  # of the variance in the input's normalisation
ROUNDING = 1e-9  # a ridge of so much of the trace, times D, outlasts float32: three times what 1024 to 2048 needed


class Options(NamedTuple):
    """What a GaussianProcess is made of; the configs' values are the authors' for CIFAR unless said otherwise."""

    num_features: int  # D, random features
    amplitude: float  # s, the prior's standard deviation; their code has sqrt(D / 2)
    length_scale: float  # of the kernel, in root mean squares of a normalised feature
    ridge: float  # prior precision
    momentum: float  # of the precision matrix's moving average: the paper's; their CIFAR code sums an epoch
    mean_field: float  # lambda of the mean-field logits; their CIFAR code has up to 25


class GaussianProcess(nnx.Module):
    r"""Logits of a Gaussian process with an RBF kernel, by random features and Laplace's approximation.

    .. math:: \phi = s \sqrt{2 / D} \cos(W h + b), \quad z = \beta^T \phi, \quad
       \Sigma^{-1} = r I + \sum_i \phi_i \phi_i^T, \quad
       \hat z = z / \sqrt{1 + \lambda \, r \, \phi^T \Sigma \phi}

    (arXiv:2006.10108, Eqs. 6 to 9 and Algorithm 1; mean-field logits: Lu et al., arXiv:2006.07584). W and b are drawn
    once. Training returns z, the posterior's mean, and moves the average of phi phi^T; the sum over the training set
    is num_train times it. Prediction returns the mean-field logits. One covariance serves all classes, as in the
    authors' code. Each predicted batch pays one Cholesky decomposition, D^3 / 3 multiplications (0.36e9 at D = 1024,
    against 5.2e12 for 1000 images by WRN-28-10), so that nothing has to be kept in step with the precision.

    Departures from the authors' code: the features h are normalised to mean 0 and variance 1 and go in directly, not
    through a random projection to 128 dimensions; W is Gaussian, not orthogonal; the moving average is divided by its
    weights' sum, as Adam's are, so that a short run's is no smaller; the amplitude s is smaller, since at theirs the
    recipe's learning rate of 0.1 without a warm-up overshoots (they have a warm-up).
    """

    def __init__(self, channels: int, num_classes: int, *, num_train: int, options: Options, rngs: Any):
        self.options, self.num_train, self.use_running_average = options, num_train, False
        size = options.num_features
        # The normalised features' length is sqrt(channels): by it the kernel's width means the same for any network.
        scale = 1.0 / (options.length_scale * channels**0.5)
        self.frequencies = nnx.BatchStat(scale * jax.random.normal(rngs.params(), (channels, size)))
        self.phases = nnx.BatchStat(jax.random.uniform(rngs.params(), (size,), maxval=2.0 * pi))
        self.moment = nnx.BatchStat(jnp.zeros((size, size)))  # moving average of phi phi^T, from zero
        self.weight = nnx.BatchStat(jnp.zeros(()))  # moving average of 1, from zero
        self.mean = nnx.Linear(size, num_classes, use_bias=False, kernel_init=LINEAR_INIT, rngs=rngs)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """As BatchNorm's: True for evaluation."""
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def __call__(self, features: jax.Array) -> jax.Array:
        """Features [B, F] to logits [B, N], float32."""
        phi = self.random_features(features)
        logits = self.mean(phi)
        if self.use_running_average:
            return mean_field(logits, self.variance(phi), self.options.mean_field)
        fixed = jax.lax.stop_gradient(phi)
        momentum = self.options.momentum
        products = jnp.matmul(fixed.T, fixed, precision="highest") / len(fixed)
        self.moment.set_value(momentum * self.moment[...] + (1.0 - momentum) * products)
        self.weight.set_value(momentum * self.weight[...] + (1.0 - momentum))
        return logits

    def random_features(self, features: jax.Array) -> jax.Array:
        """Features [B, F] to phi [B, D]."""
        mean = jnp.mean(features, -1, keepdims=True)
        centred = features - mean
        normal = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), -1, keepdims=True) + EPSILON)
        angles = jnp.matmul(normal, self.frequencies[...], precision="highest")
        scale = self.options.amplitude * (2.0 / self.options.num_features) ** 0.5
        return scale * jnp.cos(angles + self.phases[...].reshape(1, -1))

    def variance(self, phi: jax.Array) -> jax.Array:
        """The posterior's variance of each example's logits, [B]; the prior's is r * |phi|^2 / r."""
        ridge, factor = self._decomposed()
        solved = jax.scipy.linalg.solve_triangular(factor, phi.T, lower=True)
        return ridge * jnp.sum(jnp.square(solved), 0)

    def precision(self, ridge: jax.typing.ArrayLike) -> jax.Array:
        """The posterior's precision matrix, [D, D]: r I before the first step."""
        weight = self.weight[...]
        average = self.moment[...] / jnp.where(weight > 0, weight, 1.0)
        return jnp.asarray(ridge) * jnp.eye(self.options.num_features) + self.num_train * average

    def _decomposed(self) -> tuple[jax.Array, jax.Array]:
        """r and the Cholesky factor of the precision, [D, D]; with a larger r where the option's is lost in rounding.

        Sums of similar features are nearly of rank one: with 1.3 million images their largest eigenvalue is 8e7, of
        which float32 rounds off several times a ridge of 1, and the root of a negative number makes all logits NaN.
        """
        ridge = jnp.float32(self.options.ridge)
        precision = self.precision(ridge)
        factor = jnp.linalg.cholesky(precision)
        larger = jnp.maximum(ridge, ROUNDING * self.options.num_features * jnp.trace(precision))
        return jax.lax.cond(
            jnp.isfinite(factor).all(),
            lambda: (ridge, factor),
            lambda: (larger, jnp.linalg.cholesky(self.precision(larger))),
        )


def mean_field(logits: jax.Array, variance: jax.Array, factor: float) -> jax.Array:
    """Logits [B, N] whose softmax is about the mean softmax of normal logits: logits / sqrt(1 + factor * variance)."""
    return logits * jax.lax.rsqrt(1.0 + factor * variance)[:, None]
