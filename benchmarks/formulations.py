"""Different ways to write the same operation, timed beside one another and checked to give the same.

  python -m benchmarks.formulations [--only=crop,batch_norm,update,weight_gradient] [--batch_size=128] [--json=FILE]

crop             ours (two gathers along axes), one flat gather, dynamic_slice of the padded image, one-hot products;
                 of float32 pixels as the chain has them after normalisation, and ours of uint8.
batch_norm       ours (mean and mean square in one pass), and the variance from the centred values in another pass;
                 forward and backward, with bfloat16 in and out.
update           the optimiser's update of ResNet-18, with its buffers donated and not.
weight_gradient  of a 3x3 convolution of 64 channels at 32 x 32, as bfloat16 and accumulated into float32.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from benchmarks.roofline import seconds_of
from softaug_jax import crops, models
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command, positive, several
from softaug_jax.run_files import write_json

Ways = dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]  # by name: a jitted function and its arguments


def crop_ways(batch_size: int, size: int = 32) -> Ways:
    """Crops of a batch [B, size, size, 3] by soft offsets, with fill 0."""
    key = jax.random.key(0)
    pixels = jax.random.randint(key, (batch_size, size, size, 3), 0, 256).astype(jnp.uint8)
    images = pixels.astype(jnp.float32)
    offsets = crops.sample_offsets(jax.random.key(1), (batch_size,), size=(size, size))

    def flat(images: jax.Array, offsets: jax.Array) -> jax.Array:
        side = jnp.arange(size).reshape(1, -1)
        rows, columns = offsets[:, :1] + side, offsets[:, 1:] + side
        inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
        index = jnp.clip(rows, 0, size - 1)[:, :, None] * size + jnp.clip(columns, 0, size - 1)[:, None, :]
        index = index.reshape(len(images), -1, 1)
        taken = jnp.take_along_axis(images.reshape(len(images), -1, 3), index, axis=1).reshape(images.shape)
        return jnp.where(inside[..., None], taken, 0)

    def sliced(images: jax.Array, offsets: jax.Array) -> jax.Array:
        padded = jnp.pad(images, ((0, 0), (size, size), (size, size), (0, 0)))
        one = lambda image, t: jax.lax.dynamic_slice(image, (size + t[0], size + t[1], 0), (size, size, 3))
        return jax.vmap(one)(padded, offsets)

    def products(images: jax.Array, offsets: jax.Array) -> jax.Array:
        side = jnp.arange(size).reshape(1, -1)
        rows, columns = (jax.nn.one_hot(offsets[:, axis, None] + side, size) for axis in (0, 1))
        highest = jax.lax.Precision.HIGHEST  # pixels of more than 8 bits would be rounded
        return jnp.einsum("byi,bijc,bxj->byxc", rows, images, columns, precision=highest)

    ways = {"ours": crops.crop, "flat gather": flat, "dynamic_slice": sliced, "one-hot": products}
    timed = {name: (jax.jit(way), (images, offsets)) for name, way in ways.items()}
    return {**timed, "ours, uint8": (jax.jit(crops.crop), (pixels, offsets))}


def batch_norm_ways(batch_size: int, size: int = 32, channels: int = 64) -> Ways:
    """The gradient of a normalisation by the batch, of [B, size, size, channels]."""
    x = jax.random.normal(jax.random.key(0), (batch_size, size, size, channels), jnp.bfloat16)
    out_gradient = jax.random.normal(jax.random.key(1), x.shape, jnp.bfloat16)
    axes = (0, 1, 2)

    def one_pass(x: jax.Array) -> jax.Array:
        mean = jnp.mean(x, axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(jnp.mean(x * x, axes, keepdims=True) - mean * mean + 1e-5)

    def two_passes(x: jax.Array) -> jax.Array:
        centred = x - jnp.mean(x, axes, keepdims=True)
        return centred * jax.lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + 1e-5)

    def gradient(way: Callable[[jax.Array], jax.Array]) -> Callable[..., Any]:
        whole = lambda x: way(x.astype(jnp.float32)).astype(x.dtype)
        return jax.jit(lambda x, g: jax.vjp(whole, x)[1](g)[0])

    arguments = (x, out_gradient)
    return {"ours": (gradient(one_pass), arguments), "two passes": (gradient(two_passes), arguments)}


def update_ways(model: str) -> Ways:
    """The optimiser's update of a network, a copy of whose buffers the donating way gives back for the next call."""
    network = models.create(model, num_classes=10, channels=3, dtype="float32")
    params, _ = network.init(jax.random.key(0))
    sgd = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, momentum=0.9, nesterov=True))
    grads = jax.tree.map(jnp.ones_like, params)

    def update(carry: Any, grads: Any) -> Any:
        params, state = carry
        updates, state = sgd.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    copy = lambda: jax.tree.map(jnp.copy, (params, sgd.init(params)))
    donating, kept = jax.jit(update, donate_argnums=0), copy()

    def again(grads: Any) -> Any:
        nonlocal kept
        kept = donating(kept, grads)
        return kept

    return {"donated": (again, (grads,)), "not donated": (jax.jit(update), (copy(), grads))}


def weight_gradient_ways(batch_size: int, size: int = 32, channels: int = 64) -> Ways:
    """The gradient of a convolution's sum by its weights, as the two dtypes."""
    images = jax.random.normal(jax.random.key(0), (batch_size, size, size, channels), jnp.bfloat16)
    out_gradient = jax.random.normal(jax.random.key(1), images.shape, jnp.bfloat16)

    def gradient(dtype: Any) -> Callable[..., Any]:
        layout = jax.lax.ConvDimensionNumbers((3, 0, 1, 2), (3, 0, 1, 2), (2, 3, 0, 1))  # the channels as batch
        return jax.jit(
            lambda x, g: jax.lax.conv_general_dilated(
                x, g, (1, 1), ((1, 1), (1, 1)), dimension_numbers=layout, preferred_element_type=dtype
            )
        )

    return {name: (gradient(jnp.dtype(name)), (images, out_gradient)) for name in ("bfloat16", "float32")}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Microseconds of each way of each operation; UsageError if two ways differ."""
    makers: dict[str, tuple[Callable[[], Ways], float]] = {  # with the largest relative difference that rounding makes
        "crop": (lambda: crop_ways(options.batch_size), 1e-6),
        "batch_norm": (lambda: batch_norm_ways(options.batch_size), 2e-2),
        "weight_gradient": (lambda: weight_gradient_ways(options.batch_size), 2e-2),
        "update": (lambda: update_ways(options.model), float("inf")),  # the donating way goes on from call to call
    }
    found: dict[str, Any] = {}
    for name in options.only:
        if name not in makers:
            raise UsageError(f"--only={name} is unknown. Choose from {', '.join(makers)}.")
        maker, tolerance = makers[name]
        ways = maker()
        _check_same(name, ways, tolerance)
        found[name] = {
            way: 1e6 * seconds_of(function, *arguments, seconds=options.seconds)
            for way, (function, arguments) in ways.items()
        }
    return {"batch_size": options.batch_size, "microseconds": found}


def _check_same(name: str, ways: Ways, tolerance: float) -> None:
    if tolerance == float("inf"):
        return
    results = {way: np.asarray(function(*arguments), np.float32) for way, (function, arguments) in ways.items()}
    first, expected = next(iter(results.items()))
    for way, result in results.items():
        if (error := np.abs(result - expected).max() / np.abs(expected).max()) > tolerance:
            raise UsageError(f"{name}: {way} differs from {first} by {error:.2g} of the largest value.")


@as_command
def main(words: list[str]) -> int:
    """Measures, writes the record and prints the table."""
    parser = Parser(
        prog="python -m benchmarks.formulations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    everything = ["crop", "batch_norm", "update", "weight_gradient"]
    parser.add_argument("--only", type=several(str), default=everything)
    parser.add_argument("--batch_size", type=positive, default=128)
    parser.add_argument("--model", default="resnet18", help="whose update is timed")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each measurement; the median of 3 counts")
    parser.add_argument("--json", type=Path, help="where to write the record")
    options = parser.parse_args(words)
    record = {**machine.jax_provenance("benchmarks.formulations", words), **measured(options)}
    if options.json:
        write_json(options.json, record)
    print(f"{record['device']}, load {record['load']}, batch {record['batch_size']}")
    for name, ways in record["microseconds"].items():
        print(f"  {name:16s} " + ", ".join(f"{way} {took:,.1f} us" for way, took in ways.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
