"""Weighted nearest neighbours: how well features tell classes apart, without training anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from softaug_jax.checks import UsageError, check_count, check_scalar
from softaug_jax.evals.features import Features, direction, extract
from softaug_jax.evals.protocol import Batches, Predict
from softaug_jax.evals.sums import classification_sums


@dataclass(frozen=True)
class NearestNeighbors:
    """Top-1 error of the weighted vote of the k nearest training examples (Wu et al., CVPR 2018, section 3.4).

    `votes` says how they vote. Memory: the training features on every device, and the similarities of one batch of
    queries to all of them.

    Args beside those that `protocol` describes:
      predict: here from images to features [B, F], not to logits.
      batches: the examples to classify.
      train_batches: those that vote.
      num_classes: N.
      k: how many vote, from 1 to the number of training examples.
      temperature: of the weights, > 0; the smaller, the more the nearest count.
    """

    predict: Predict
    batches: Batches
    train_batches: Batches
    _: KW_ONLY
    num_classes: int
    k: int = 200
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_count("num_classes", self.num_classes, at_least=1)
        check_count("k", self.k, at_least=1)
        check_scalar("temperature", self.temperature, above=0)

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "knn_top1_error"; raises UsageError if k is more than the number of training examples."""
        bank = extract(self.predict, state, self.train_batches)
        available = len(bank.labels)
        if self.k > available:
            raise UsageError(
                f"config.evals.knn_k = {self.k} is more than the {available} training examples that can vote. "
                f"Use at most --config.evals.knn_k={available}."
            )
        bank = Features(jax.jit(direction)(bank.values), bank.labels)

        def voted(state: Any, images: jax.Array) -> jax.Array:
            scores = _votes(
                self.predict(state, images),
                bank,
                num_classes=self.num_classes,
                k=self.k,
                temperature=self.temperature,
                sharding=images.sharding,
            )
            return jax.block_until_ready(scores)  # the similarities of several batches at once might not fit

        counted = extract(voted, state, self.batches)
        yield "knn_top1_error", float(classification_sums(counted.values, counted.labels).wrong) / len(counted.labels)


def votes(
    queries: ArrayLike,
    bank: Features,
    *,
    num_classes: int,
    k: int = 200,
    temperature: ArrayLike = 0.1,
    sharding: jax.sharding.Sharding | None = None,
) -> jax.Array:
    r"""Votes of each query's k nearest neighbours for their classes (Wu et al., CVPR 2018, section 3.4).

    .. math:: votes_c = \sum_{i \in N_k,\, y_i = c} \exp((s_i - \max_j s_j) / \tau), \qquad s_i = \cos(q, f_i)

    The paper's weights are exp(s / temperature); taking the largest similarity away first changes no query's winner
    and can't overflow. Among equally near neighbours the earlier in the bank is taken. A feature of length zero has
    similarity 0 to everything.

    Args:
      queries: features [B, F].
      bank: features [n, F], each of length one or zero, as `direction` makes them, and their classes, in [0, N).
      num_classes: N.
      k: how many vote, from 1 to n.
      temperature: tau, > 0.
      sharding: of the queries, where they are spread over devices.

    Returns:
      Votes, float32 [B, N], each at least 0; a query's sum is between 1 and k. The largest wins, of equal ones the
      lowest class.

    Raises:
      ValueError: if k or the temperature is out of its range.

    >>> bank = Features(jnp.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), jnp.array([0, 1, 1]))
    >>> print(votes(jnp.array([[2.0, 0.0]]), bank, num_classes=2, k=2, temperature=0.4).round(2))
    [[1.   0.37]]
    """
    check_scalar("k", check_count("k", k, at_least=1), at_most=len(bank.labels))
    check_scalar("temperature", temperature, above=0)
    queries = direction(jnp.asarray(queries, jnp.float32))
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


_votes = jax.jit(votes, static_argnames=("num_classes", "k", "sharding"))
