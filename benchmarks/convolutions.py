"""A network's convolutions as its training step has them, counted by shape and timed one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from benchmarks.model_flops import flops
from benchmarks.roofline import seconds_of
from softaug_jax import models
from softaug_jax.data.info import info

KINDS = ("forward", "input gradient", "weight gradient")
REPEATS = 16  # of one convolution in the program that times it, each with operands of its own


class Convolution(NamedTuple):
    """One convolution, with all that makes it another one."""

    kind: str  # of KINDS
    left: tuple[int, ...]  # shapes of the operands: images or their gradient,
    right: tuple[int, ...]  # weights, or in a weight gradient the output's gradient
    out: tuple[int, ...]
    dtype: str
    params: tuple[tuple[str, Any], ...]  # of the primitive
    equation: Any  # to run it again

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.kind, self.left, self.right, self.dtype, str(self.params))

    @property
    def flops(self) -> float:
        """Two a multiplication and addition; the zeros that a strided one's input gradient inserts are left out."""
        shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in self.equation.invars]
        inserted = math.prod(self.equation.params["lhs_dilation"])
        return flops(jax.make_jaxpr(self.run)(*shapes).jaxpr) / inserted

    def run(self, left: jax.Array, right: jax.Array) -> jax.Array:
        """The convolution itself."""
        result: jax.Array = self.equation.primitive.bind(left, right, **self.equation.params)
        return result


def training_convolutions(
    model: str, dataset: str, batch_size: int, dtype: str, image_px: int = 0
) -> list[tuple[Convolution, int]]:
    """Every convolution of the loss's gradient with how often a step has it, from the traced program."""
    about = info(dataset)
    size, classes = ((image_px, image_px), 1000) if image_px else (about.image_size, about.num_classes)
    stem = "imagenet" if image_px >= 64 else "cifar"
    network = models.create(model, num_classes=classes, channels=about.channels, dtype=dtype, stem=stem)
    params, stats = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((batch_size, *size, about.channels), jnp.float32)

    def loss(params: Any, stats: Any, images: Any) -> jax.Array:
        return jnp.sum(network.train(params, stats, images, jax.random.key(0))[0])

    found = list(_equations(jax.make_jaxpr(jax.grad(loss))(params, stats, images).jaxpr))
    first = {c.key: c for c in reversed(found)}
    return [(first[key], count) for key, count in Counter(c.key for c in found).items()]


def _equations(jaxpr: Any) -> Iterator[Convolution]:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            left, right = (v.aval for v in equation.invars)
            kept = tuple(sorted(equation.params.items(), key=lambda item: item[0]))
            out = equation.outvars[0].aval.shape
            yield Convolution(_kind(equation), left.shape, right.shape, out, left.dtype.name, kept, equation)
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _kind(equation: Any) -> str:
    """JAX differentiates a convolution by others: that by the weights takes the channels for the batch."""
    layout = equation.params["dimension_numbers"]
    if layout.lhs_spec[0] != 0:
        return "weight gradient"
    return "input gradient" if "transpose" in str(equation.source_info.name_stack) else "forward"


@partial(jax.jit, static_argnums=(1, 2))
def _normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Operands; one function for all convolutions, which share many shapes, so that each is compiled once."""
    return jax.random.normal(key, shape, dtype)


def seconds(convolution: Convolution, budget_bytes: int, **timing: Any) -> float:
    """Seconds of one convolution, from a program that does several with operands of their own."""
    left, right = (v.aval for v in convolution.equation.invars)
    each = 4 * (math.prod(left.shape) + math.prod(right.shape) + math.prod(convolution.out))
    count = 2 if jax.default_backend() == "cpu" else max(1, min(REPEATS, budget_bytes // each))
    keys = jax.random.split(jax.random.key(0), (count, 2))
    operands = [
        tuple(_normal(key, v.shape, v.dtype) for key, v in zip(pair, (left, right), strict=True)) for pair in keys
    ]
    program = jax.jit(lambda pairs: [convolution.run(*pair) for pair in pairs])
    return seconds_of(program, operands, **timing) / count


def measured(
    model: str, dataset: str, batch_size: int, dtype: str, image_px: int, budget_bytes: int, **timing: Any
) -> dict[str, Any]:
    """Times of each, of each kind, and of a whole step's: no step is faster, unless it fuses work into them."""
    rows = []
    for convolution, count in training_convolutions(model, dataset, batch_size, dtype, image_px):
        took = seconds(convolution, budget_bytes, **timing)
        rows.append(
            {
                "kind": convolution.kind,
                "left": convolution.left,
                "right": convolution.right,
                "out": convolution.out,
                "dtype": convolution.dtype,
                "count": count,
                "microseconds": 1e6 * took,
                "flops_per_second": convolution.flops / took,
                "flops": convolution.flops,
            }
        )
    kinds = {
        kind: {
            "count": sum(row["count"] for row in rows if row["kind"] == kind),
            "seconds": sum(row["count"] * row["microseconds"] / 1e6 for row in rows if row["kind"] == kind),
            "flops": sum(row["count"] * row["flops"] for row in rows if row["kind"] == kind),
        }
        for kind in KINDS
    }
    total = sum(figures["seconds"] for figures in kinds.values())
    return {
        "name": f"{model} on {dataset}" + (f" at {image_px} px" if image_px else ""),
        "seconds_per_step": total,
        "images_per_second_at_most": batch_size / total,
        "kinds": kinds,
        "each": rows,
    }
