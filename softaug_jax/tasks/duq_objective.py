"""What DUQ learns (van Amersfoort et al., ICML 2020): each class's kernel is its target, and smooth in the image.

Its paper's centroids are taken from a second pass in evaluation mode after the step; ours from the training pass
itself, which costs nothing. Its paper has hard targets and equal weights; softened ones enter the cross entropy.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from softaug_jax.augment import Augmented
from softaug_jax.data.schedule import Schedule
from softaug_jax.models.duq import Outputs, log_kernel
from softaug_jax.tasks.class_objective import ClassObjective
from softaug_jax.tasks.protocol import Softened

INITIAL_STD = 0.05  # of the centroids, as in the authors' code
FEWEST = 1e-30  # examples in a class's moving count, which float32 would soon round to none
SMALLEST = 1e-7  # of 1 - K in the logarithm, whose slope at 0 is infinite; float32 has no smaller one below 1


class Centroids(NamedTuple):
    """Exponential moving sums of each class's embeddings, and of how many they were (Eqs. 3 to 5)."""

    counts: jax.Array  # [N]
    sums: jax.Array  # [N, E]

    @property
    def values(self) -> jax.Array:
        """e, [N, E]."""
        return self.sums / self.counts[:, None]


class DuqObjective(ClassObjective):
    """Binary cross entropy of the kernels with the softened targets, and the two-sided gradient penalty."""

    def __init__(self, config: Any, num_classes: int, schedule: Schedule):
        """Reads `config.duq`, `config.soften`, `config.seed` and `config.batch_size`."""
        super().__init__(config, num_classes, schedule)
        self._duq, self._seed, self._initial_count = config.duq, config.seed, config.batch_size / num_classes

    def initial_memory(self) -> Centroids:
        """Random centroids, as if a batch's share of examples had been seen."""
        shape = (self._num_classes, self._duq.embedding_dim)
        counts = jnp.full(shape[:1], self._initial_count)
        # The seed's own key is split into those of the parameters and of the run (train/state.py).
        key = jax.random.fold_in(jax.random.key(self._seed), zlib.crc32(b"centroids"))
        return Centroids(counts, self._initial_count * INITIAL_STD * jax.random.normal(key, shape))

    def soften(self, labels: jax.Array, visibility: jax.Array, share: jax.Array | None, memory: Any) -> Softened:
        """Targets and weights as ever, and the centroids of the steps before."""
        return super().soften(labels, visibility, share, memory)._replace(memory=memory)

    def loss(self, outputs: Outputs, softened: Softened) -> jax.Array:
        """The mean of weight * cross entropy, plus the penalty, which has no target and so no weight."""
        centroids = softened.memory.values
        log_k = log_kernel(outputs.embeddings, centroids, self._duq.length_scale)
        assert softened.targets is not None
        loss = jnp.mean(softened.weights * binary_cross_entropy(log_k, softened.targets))
        if not self._duq.gradient_penalty:
            return loss
        by_embeddings = jax.grad(lambda z: jnp.sum(jnp.exp(log_kernel(z, centroids, self._duq.length_scale))))
        assert outputs.pullback is not None
        (by_images,) = outputs.pullback(by_embeddings(outputs.embeddings))
        return loss + self._duq.gradient_penalty * jnp.mean(two_sided_penalty(by_images))

    def measure(self, outputs: Outputs, labels: jax.Array, seen: Augmented, memory: Any = ()) -> dict[str, jax.Array]:
        """Top-1 error on the augmented images, and their visibility."""
        log_k = log_kernel(outputs.embeddings, memory.values, self._duq.length_scale)
        return super().measure(log_k, labels, seen)

    def remember(self, memory: Centroids, outputs: Outputs, labels: jax.Array, step: jax.Array) -> Centroids:
        """The moving sums after a step: momentum of the old, the rest of the batch's, whatever the images' weights.

        A class that has not been seen for so long that its count would be lost keeps what it has, and so its centroid.
        """
        members = jax.nn.one_hot(labels, self._num_classes)
        sums = jnp.einsum("bn,bne->ne", members, outputs.embeddings, precision="highest")
        momentum = self._duq.momentum
        average = lambda old, new: momentum * old + (1.0 - momentum) * new
        counts = average(memory.counts, members.sum(0))
        is_counted = counts > FEWEST
        return Centroids(
            jnp.where(is_counted, counts, memory.counts),
            jnp.where(is_counted[:, None], average(memory.sums, sums), memory.sums),
        )

    def logits(self, embeddings: jax.Array, memory: Centroids) -> jax.Array:
        """log K, [B, N]: their softmax is the kernels divided by their sum, so a row's confidence is max K / sum K."""
        return log_kernel(embeddings, memory.values, self._duq.length_scale)


def binary_cross_entropy(log_k: jax.Array, targets: jax.Array) -> jax.Array:
    r"""Mean over classes of the binary cross entropy of kernels with targets (Eq. 2, divided by N as in the code).

    .. math:: -\frac{1}{N} \sum_c t_c \log K_c + (1 - t_c) \log(1 - K_c)

    Args: log K [B, N], at most 0; targets t [B, N], in [0, 1]. Returns [B].
    """
    log_rest = jnp.log(jnp.maximum(-jnp.expm1(log_k), SMALLEST))
    return -jnp.mean(targets * log_k + (1.0 - targets) * log_rest, -1)


def two_sided_penalty(by_images: jax.Array) -> jax.Array:
    """(|gradient| - 1)^2 of each image's gradient (Eq. 7, the norm not squared, as in the code): [B, ...] to [B]."""
    squares = jnp.sum(jnp.square(by_images), range(1, by_images.ndim))
    return jnp.square(jnp.sqrt(squares + 1e-12) - 1.0)
