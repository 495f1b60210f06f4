"""Online label smoothing (Zhang et al., arXiv:2011.12562): targets learnt from the network's own right answers.

A class's moving target is the mean softmax, over an epoch, of its examples that were classified right; each epoch
trains on those of the epoch before. The first epoch's are uniform.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Memory(NamedTuple):
    """What is known of each class."""

    targets: jax.Array  # this epoch's moving target of each class, [N, N]; rows sum to 1
    sums: jax.Array  # of the softmax of right answers so far this epoch, by true class, [N, N]
    counts: jax.Array  # how many they were, [N]


def initial(num_classes: int) -> Memory:
    """Uniform targets, nothing counted."""
    n = num_classes
    return Memory(jnp.full((n, n), 1.0 / n), jnp.zeros((n, n)), jnp.zeros(n))


def observe(memory: Memory, logits: jax.Array, labels: jax.Array) -> Memory:
    """Counts a batch: logits [B, N], labels int [B]."""
    right = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
    members = jax.nn.one_hot(labels, logits.shape[-1]) * right[:, None]
    # At full precision: on TPU and GPU a float32 product is rounded to fewer bits otherwise.
    sums = jnp.matmul(members.T, jax.nn.softmax(logits), precision="highest")
    return memory._replace(sums=memory.sums + sums, counts=memory.counts + members.sum(0))


def renew(memory: Memory) -> Memory:
    """The memory at an epoch's start. A class without a right answer keeps its target; the paper does not say."""
    counts = memory.counts[:, None]
    targets = jnp.where(counts > 0, memory.sums / jnp.maximum(counts, 1.0), memory.targets)
    return Memory(targets, jnp.zeros_like(memory.sums), jnp.zeros_like(memory.counts))
