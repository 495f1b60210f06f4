"""A linear classifier on fixed features: the affine map before it, and one epoch of its training."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax  # noqa: TID251  (this classifier is the one thing that is trained outside train)
from jax.typing import ArrayLike

from softaug_jax.evals.features import Features
from softaug_jax.losses import soft_cross_entropy

MOMENTUM = 0.9  # Nesterov's


class Scale(NamedTuple):
    """Standardises features: (x - mean) * inverse, and a dimension whose inverse is zero says nothing."""

    mean: jax.Array  # [F]
    inverse: jax.Array  # [F], 1 / (standard deviation * sqrt(F))


class Classifier(NamedTuple):
    """logits = x @ weights + bias, x standardised."""

    weights: jax.Array  # [F, N]
    bias: jax.Array  # [N]


class Optimizer(NamedTuple):
    """SGD with Nesterov momentum and cosine decay to 0; a plain value, so that equal ones share a compiled program."""

    learning_rate: float
    weight_decay: float  # times every parameter, added to its gradient, as in the networks' training
    total_steps: int

    def transformation(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.sgd(
                optax.cosine_decay_schedule(self.learning_rate, self.total_steps), momentum=MOMENTUM, nesterov=True
            ),
        )


class Fit(NamedTuple):
    """A classifier in training."""

    classifier: Classifier
    opt_state: Any


@jax.jit
def standardization(values: jax.Array) -> Scale:
    """The affine map that gives features zero mean and equal variance in each dimension, and mean squared length one.

    The length is what one learning rate for every width needs: the curvature of the loss is at most half the mean
    squared length. A dimension whose standard deviation is below 1e-6 of its largest value, which is what float32 can
    say, is mapped to zero.

    Args:
      values: features, float32 [n, F].

    Returns:
      Its mean and factors, [F] each.
    """
    origin = values[0]  # sums of what is left are exact for a dimension that never changes
    centred = values - origin[None, :]
    deviation = jnp.std(centred, 0)
    varies = deviation > 1e-6 * jnp.max(jnp.abs(values), 0)
    inverse = jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0) / jnp.sqrt(values.shape[1])
    return Scale(origin + jnp.mean(centred, 0), inverse)


@jax.jit
def logits(classifier: Classifier, scale: Scale, values: jax.Array) -> jax.Array:
    """Logits [B, N] of features [B, F]."""
    values = (values.astype(jnp.float32) - scale.mean[None, :]) * scale.inverse[None, :]
    product = jnp.matmul(values, classifier.weights, precision=jax.lax.Precision.HIGHEST)
    return product + classifier.bias[None, :]


def start(num_features: int, num_classes: int, optimizer: Optimizer) -> Fit:
    """An untrained classifier, all zeros: the loss is convex, so the start needs no chance."""
    classifier = Classifier(jnp.zeros((num_features, num_classes)), jnp.zeros(num_classes))
    return Fit(classifier, optimizer.transformation().init(classifier))


@partial(jax.jit, static_argnames=("batch_size", "optimizer"))
def train_epoch(
    fit: Fit, features: Features, scale: Scale, key: ArrayLike, *, batch_size: int, optimizer: Optimizer
) -> Fit:
    """Trains on whole batches of the examples in an order that `key` draws; what is left over is not seen.

    Args:
      fit: what `start` or the epoch before returned.
      features: the training set's, n examples.
      scale: what `standardization` returned.
      key: of this epoch.
      batch_size: at most n.
      optimizer: the one `fit` was started with.

    Returns:
      The classifier after n // batch_size steps.
    """
    num_examples = len(features.labels)
    transformation = optimizer.transformation()
    order = jax.random.permutation(key, num_examples)[: num_examples // batch_size * batch_size]

    def loss(classifier: Classifier, index: jax.Array) -> jax.Array:
        scores = logits(classifier, scale, features.values[index])
        return jnp.mean(soft_cross_entropy(scores, jax.nn.one_hot(features.labels[index], scores.shape[-1])))

    def step(fit: Fit, index: jax.Array) -> tuple[Fit, None]:
        gradient = jax.grad(loss)(fit.classifier, index)
        updates, opt_state = transformation.update(gradient, fit.opt_state, fit.classifier)
        return Fit(optax.apply_updates(fit.classifier, updates), opt_state), None

    return jax.lax.scan(step, fit, order.reshape(-1, batch_size))[0]
