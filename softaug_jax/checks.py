"""Checks of what a caller passes: errors that name the thing, the value and what is allowed, in a line."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class UsageError(ValueError):
    """What the user asked for can't be done; the message is one line for the terminal."""


def one_line(said: object) -> str:
    """A text, or an error's, on one line and cut to 160 characters; the type of an error that says nothing."""
    text = " ".join(str(said).split()) or type(said).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def check_scalar(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: Any = None,
) -> None:
    """Raises ValueError if a Python or NumPy `value` is outside its range.

    JAX arrays pass unseen: they may be traced, and looking at them would wait for the device.
    """
    if not isinstance(value, (int, float, np.number, np.ndarray)):
        return
    values = np.asarray(value)
    if values.dtype != object and not np.isfinite(values).all():  # whole numbers from 2**64 on are objects
        raise ValueError(f"{name} = {value} must be finite.")
    if above is not None and not (values > above).all():
        raise ValueError(f"{name} = {value} must be greater than {above}.")
    if at_least is not None and not (values >= at_least).all():
        raise ValueError(f"{name} = {value} must be at least {at_least}.")
    if isinstance(at_most, (int, float, np.number, np.ndarray)) and not (values <= np.asarray(at_most)).all():
        raise ValueError(f"{name} = {value} must be at most {at_most}.")


Range = Callable[[str, Any], object]  # (name, value); raises ValueError if the value is outside
positive: Range = partial(check_scalar, above=0)
not_negative: Range = partial(check_scalar, at_least=0)
at_least_one: Range = partial(check_scalar, at_least=1)
fraction: Range = partial(check_scalar, at_least=0, at_most=1)
# A larger one is another's key to JAX, which takes it modulo 2**32.
is_seed: Range = partial(check_scalar, at_least=0, at_most=2**32 - 1)


def check_count(name: str, value: Any, at_least: int) -> int:
    """Returns `value`, a count that must be known when the program is traced; ValueError unless a whole number."""
    try:
        count = operator.index(value)
    except TypeError:
        if isinstance(value, jax.core.Tracer):
            raise ValueError(
                f"{name} is traced; it must be a Python number, as shapes follow from it. Close over it, or name it in "
                "jit's static_argnames."
            ) from None
        raise ValueError(f"{name} = {value} must be a whole number, at least {at_least}.") from None
    check_scalar(name, count, at_least=at_least)
    return count


def as_labels(labels: Any) -> jax.Array:
    """Class numbers as int32, of any integer type; ValueError if they are of another.

    JAX compares labels with the classes in the labels' type: int8 takes class 261 for class 5.
    """
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels have dtype {labels.dtype}; they must be integers, one class number an example and no one-hot "
            "rows. Targets of mixed labels: augment.mix.mix_targets."
        )
    return labels.astype(jnp.int32)


def as_weights(weights: Any, shape: tuple[int, ...], each: str = "an example") -> jax.Array:
    """Weights as an array; ValueError unless they have this shape."""
    weights = jnp.asarray(weights)
    if weights.shape != shape:  # [B, 1] against [B] would silently make [B, B]
        raise ValueError(f"weights have shape {weights.shape}; they must be {shape}, one {each}.")
    return weights


def as_type(name: str, value: Any, dtype: Any) -> jax.Array:
    """The value as an array of this type; ValueError if an integer type would change it. JAX arrays pass unseen."""
    if not isinstance(value, jax.Array) and not jnp.issubdtype(dtype, jnp.inexact):
        with np.errstate(invalid="ignore"):
            is_changed = (np.asarray(value).astype(dtype) != np.asarray(value)).any()
        if is_changed:
            raise ValueError(f"{name} = {value} does not exist in {dtype}. Take one that does, or convert the images.")
    return jnp.asarray(value, dtype)


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raises ValueError if `value` is not one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r} is unknown. Choose from {', '.join(choices)}.")


def check_broadcast(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape that the named shapes broadcast to; ValueError if they do not."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"The shapes do not fit together: {listed}. They must be equal or broadcast.") from None


def check_last_axis(name: str, array: Any, length: int, meaning: str) -> None:
    """Raises ValueError if the last axis of `array` has another length."""
    if array.ndim < 1 or array.shape[-1] != length:
        raise ValueError(f"{name} has shape {tuple(array.shape)}; its last axis must be {meaning}, of length {length}.")
