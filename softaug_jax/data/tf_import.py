"""The one place that imports TensorFlow: late, quietly, and without the accelerators, which belong to JAX."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from softaug_jax.checks import UsageError

INSTALL = 'pip install "softaug_jax[data]"'


@functools.cache
def tensorflow() -> Any:
    """Returns the module `tensorflow`; raises UsageError where it is not installed."""
    # Both are read when TensorFlow is imported; a value that the user has set stays.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import tensorflow as tf
        except ImportError as error:
            raise UsageError(f"TensorFlow can't be imported ({error}). Install it with {INSTALL}.") from error
    for kind in ("GPU", "TPU"):
        with contextlib.suppress(RuntimeError):  # too late: the caller's program has started its devices already
            tf.config.set_visible_devices([], kind)
    return tf


@functools.cache
def tfds() -> Any:
    """Returns the module `tensorflow_datasets`; raises UsageError where it is not installed."""
    tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import importlib_resources  # noqa: F401  TFDS needs it to prepare a data set, and does not declare it.
            import tensorflow_datasets
        except ImportError as error:
            raise UsageError(f"TensorFlow Datasets can't be imported ({error}). Install it with {INSTALL}.") from error
    return tensorflow_datasets


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back the warnings of TFDS about its own code, and about folders that are not there yet."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
