"""Kinds of training: classification, and self-supervised learning from pairs of views."""

from __future__ import annotations

from typing import Any

from softaug_jax.tasks.classification import CLASSIFICATION
from softaug_jax.tasks.protocol import Task
from softaug_jax.tasks.self_supervised import SELF_SUPERVISED

__all__ = ["CLASSIFICATION", "SELF_SUPERVISED", "Task", "task_of"]


def task_of(config: Any) -> Task:
    """The task of a config: one that has `pairs` learns from pairs of views, without labels."""
    return SELF_SUPERVISED if "pairs" in config else CLASSIFICATION
