"""Kinds of training."""

from __future__ import annotations

from typing import Any

from softaug_jax.tasks.classification import CLASSIFICATION
from softaug_jax.tasks.protocol import Task

__all__ = ["CLASSIFICATION", "Task", "task_of"]


def task_of(config: Any) -> Task:
    """The task of a config."""
    return CLASSIFICATION
