"""Weighted nearest neighbours: how well features tell classes apart, without training anything."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from softaug_jax import metrics
from softaug_jax.checks import UsageError, check_count, check_scalar
from softaug_jax.evals.features import Features, direction, extract
from softaug_jax.evals.protocol import Batches, Predict


class NearestNeighbors:
    """Top-1 error of the weighted vote of the k nearest training examples (Wu et al., CVPR 2018, section 3.4).

    `votes` says how they vote. Memory: the training features on every device, and the similarities of one batch of
    queries to all of them.
    """

    def __init__(
        self,
        predict: Predict,
        batches: Batches,
        train_batches: Batches,
        *,
        num_classes: int,
        k: int = 200,
        temperature: float = 0.1,
    ) -> None:
        """Args beside those that `protocol` describes:

        predict: here from images to features [B, F], not to logits.
        batches: the examples to classify.
        train_batches: those that vote.
        num_classes: N.
        k: how many vote, from 1 to the number of training examples.
        temperature: of the weights, > 0; the smaller, the more the nearest count.
        """
        check_count("num_classes", num_classes, at_least=1)
        check_count("k", k, at_least=1)
        check_scalar("temperature", temperature, above=0)
        self.predict = predict
        self.batches = batches
        self.train_batches = train_batches
        self.num_classes = num_classes
        self.k = k
        self.temperature = temperature

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "knn_top1_error"; raises UsageError if k is more than the number of training examples."""
        bank = extract(self.predict, state, self.train_batches)
        available = len(bank.labels)
        if self.k > available:
            raise UsageError(
                f"config.evals.knn_k = {self.k} is more than the {available} training examples that can vote. "
                f"Use at most --config.evals.knn_k={available}."
            )
        bank = bank._replace(values=_direction(bank.values))

        def voted(state: Any, images: jax.Array) -> jax.Array:
            scores = _batch_votes(
                self.predict(state, images),
                bank,
                self.temperature,
                num_classes=self.num_classes,
                k=self.k,
                sharding=images.sharding,
            )
            return jax.block_until_ready(scores)  # the similarities of several batches at once might not fit

        counted = extract(voted, state, self.batches)
        yield "knn_top1_error", float(_sums(counted.values, counted.labels).wrong) / len(counted.labels)


def votes(
    queries: ArrayLike,
    bank: ArrayLike,
    bank_labels: ArrayLike,
    *,
    num_classes: int,
    k: int = 200,
    temperature: ArrayLike = 0.1,
) -> jax.Array:
    r"""Votes of each query's k nearest neighbours for their classes (Wu et al., CVPR 2018, section 3.4).

    .. math:: votes_c = \sum_{i \in N_k,\, y_i = c} \exp((s_i - \max_j s_j) / \tau), \qquad s_i = \cos(q, f_i)

    The paper's weights are exp(s / temperature); taking the largest similarity away first changes no query's winner
    and can't overflow. Among equally near neighbours the earlier in the bank is taken. A feature of length zero has
    similarity 0 to everything.

    Args:
      queries: features [B, F].
      bank: features [n, F].
      bank_labels: their classes, int [n], in [0, N).
      num_classes: N.
      k: how many vote, from 1 to n.
      temperature: tau, > 0.

    Returns:
      Votes, float32 [B, N], each at least 0; a query's sum is between 1 and k. The largest wins, of equal ones the
      lowest class.

    Raises:
      ValueError: if k or the temperature is out of its range.

    >>> bank, labels = jnp.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]]), jnp.array([0, 1, 1])
    >>> print(votes(jnp.array([[2.0, 0.0]]), bank, labels, num_classes=2, k=2, temperature=0.4).round(2))
    [[1.   0.37]]
    """
    queries, bank, labels = jnp.asarray(queries), jnp.asarray(bank), jnp.asarray(bank_labels)
    check_scalar("k", check_count("k", k, at_least=1), at_most=len(labels))
    check_scalar("temperature", temperature, above=0)
    return _votes(direction(queries), Features(direction(bank), labels), temperature, num_classes, k)


def _votes(
    queries: jax.Array,
    bank: Features,
    temperature: ArrayLike,
    num_classes: int,
    k: int,
    sharding: jax.sharding.Sharding | None = None,
) -> jax.Array:
    """`votes` of features that already have length one."""
    # The highest precision: by default a TPU or a GPU multiplies with fewer bits than float32 has.
    similarity = jnp.einsum("bf,nf->bn", queries, bank.values, precision=jax.lax.Precision.HIGHEST)
    nearest, index = _top_k(similarity, k, sharding)
    # The maximum, although the first column is the same: a slice of it makes XLA sort whole rows, at 40 times the cost.
    weights = jnp.exp((nearest - jnp.max(nearest, -1, keepdims=True)) / temperature)
    is_for = bank.labels[index][:, :, None] == jnp.arange(num_classes)[None, None, :]
    return jnp.sum(jnp.where(is_for, weights[:, :, None], 0.0), 1)


def _top_k(similarity: jax.Array, k: int, sharding: jax.sharding.Sharding | None) -> tuple[jax.Array, jax.Array]:
    """The k largest of each row [B, n] and where they are, [B, k] each; `sharding` says how the rows are spread."""

    def own_rows(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        nearest, index = jax.lax.top_k(rows, k)
        return nearest, index

    if not isinstance(sharding, NamedSharding):
        return own_rows(similarity)
    # Each device its own rows, said explicitly: XLA would bring all rows to every device.
    spec = PartitionSpec(*sharding.spec[:1])
    return jax.shard_map(own_rows, mesh=sharding.mesh, in_specs=spec, out_specs=(spec, spec))(similarity)


@partial(jax.jit, static_argnames=("num_classes", "k", "sharding"))
def _batch_votes(
    features: jax.Array,
    bank: Features,
    temperature: ArrayLike,
    *,
    num_classes: int,
    k: int,
    sharding: jax.sharding.Sharding,
) -> jax.Array:
    return _votes(direction(features.astype(jnp.float32)), bank, temperature, num_classes, k, sharding)


_direction = jax.jit(direction)
_sums = jax.jit(metrics.classification_sums)
