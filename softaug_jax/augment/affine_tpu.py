"""Resampling large images on a TPU, with the pixels of `affine.resample`.

A TPU gathers one pixel after another: by the compiler's cost model 128 images of 224 x 224 take a v5e 40 ms, where the
whole step of ResNet-50 takes 71. But its vector unit permutes 128 numbers of each of 8 rows at once. Most operations
keep rows whole: a block of 8 x 128 output pixels is 8 rows of the image, permuted. For a vertical shear or a rotation
this kernel goes through all rows that the block reads, permutes each, and keeps what belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import NamedSharding

from softaug_jax.augment import affine

ROWS, LANES = 8, 128  # of a register
AT_ONCE = 8  # rows of the image: one permutation is waited for while others are under way


def resample(words: jax.Array, coefficients: jax.Array, split: NamedSharding, *, interpret: bool = False) -> jax.Array:
    """`affine.resample` of words, int32 [B, H, W], by coefficients, int32 [B, 6]; each device takes its own images.

    Args:
      split: how the images are split over the devices, which XLA can't do for a kernel.
      interpret: runs the kernel as JAX operations, on any device.
    """
    own = partial(_resample, interpret=interpret)
    return jax.shard_map(own, mesh=split.mesh, in_specs=split.spec, out_specs=split.spec, check_vma=False)(
        words, coefficients
    )


def _resample(words: jax.Array, coefficients: jax.Array, interpret: bool) -> jax.Array:
    batch, height, width = words.shape
    blocks, groups = -(-height // ROWS), -(-width // LANES)
    padding = ((0, 0), (ROWS, ROWS), (0, groups * LANES - width))
    rows = jnp.pad(words, padding).reshape(batch, height + 2 * ROWS, groups, LANES)
    read = pl.pallas_call(
        partial(_kernel, size=(height, width)),
        grid=(batch,),
        in_specs=[
            pl.BlockSpec((1, 1, 6), lambda image: (image, 0, 0), memory_space=pltpu.SMEM),
            pl.BlockSpec((1, height + 2 * ROWS, groups, LANES), lambda image: (image, 0, 0, 0)),
        ],
        out_specs=pl.BlockSpec((1, blocks * ROWS, groups * LANES), lambda image: (image, 0, 0)),
        out_shape=jax.ShapeDtypeStruct((batch, blocks * ROWS, groups * LANES), jnp.int32),
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),  # v4 and v5p have two cores
        interpret=interpret,
    )
    return read(coefficients[:, None], rows)[:, :height, :width]


def is_level(yx: jax.Array, yy: jax.Array) -> jax.Array:
    """Whether an image keeps its rows: each row of the output is of one row, and the next of the next."""
    return (yx == 0) & (yy == affine.ONE)


def span(
    yx: jax.Array, yy: jax.Array, y0: jax.Array, left: int, top: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """The first row of an image of this size that a block at (left, top) reads, and how many turns go through all."""
    height, width = size
    right, bottom = min(left + LANES, width) - 1, top + ROWS - 1
    corners = [affine.along(y0, yx, yy, x, y) for x in (left, right) for y in (top, bottom)]
    first = jnp.maximum(reduce(jnp.minimum, corners), 0)
    last = jnp.minimum(reduce(jnp.maximum, corners), height - 1)
    return first, jnp.maximum(last - first + AT_ONCE, 0) // AT_ONCE


def _kernel(coefficients, rows, out, *, size: tuple[int, int]) -> None:
    """One image: `rows` [1, 8 + H + 8, groups, 128] to `out`, padded, by `coefficients` [1, 1, 6]."""
    height, _ = size
    xx, xy, x0, yx, yy, y0 = (coefficients[0, 0, i] for i in range(6))
    lane, sublane = (jax.lax.broadcasted_iota(jnp.int32, (ROWS, LANES), axis) for axis in (1, 0))
    # A TPU multiplies integers as numbers, not as vectors: here once an image, below none.
    start_x, start_y = x0 + xx * lane + xy * sublane, y0 + yx * lane + yy * sublane

    def columns(of: Callable[[int], jax.Array], from_x: jax.Array) -> jax.Array:
        """Columns `from_x` [8, 128] of rows, whose group of 128 columns is `of(group)` [8 or 1, 128]."""
        found = jnp.zeros((ROWS, LANES), jnp.int32)
        for group in range(rows.shape[2]):
            numbers = jnp.broadcast_to(of(group), (ROWS, LANES))
            read = jnp.take_along_axis(numbers, from_x & (LANES - 1), axis=1)
            found = jnp.where(from_x >> 7 == group, read, found)
        return found

    def level(left: int, top: jax.Array, from_x: jax.Array, from_y: jax.Array) -> jax.Array:
        """A block of an image that keeps its rows."""
        first = jnp.clip(affine.along(y0, yx, yy, 0, top), -ROWS, height)
        return columns(lambda group: rows[0, pl.ds(ROWS + first, ROWS), group], from_x)

    def slanting(left: int, top: jax.Array, from_x: jax.Array, from_y: jax.Array) -> jax.Array:
        """A block of any image: it goes through all rows that the block reads."""
        first, turns = span(yx, yy, y0, left, top, size)

        def keep(turn: jax.Array, found: jax.Array) -> jax.Array:
            for each in range(AT_ONCE):
                row = first + AT_ONCE * turn + each
                source = ROWS + jnp.minimum(row, height - 1)
                read = columns(lambda group: rows[0, source, pl.ds(group, 1)], from_x)  # noqa: B023
                found = jnp.where(from_y == row, read, found)
            return found

        return jax.lax.fori_loop(0, turns, keep, jnp.zeros((ROWS, LANES), jnp.int32))

    def blocks(read: Callable) -> None:
        def block(number: jax.Array, _: None) -> None:
            top = number * ROWS
            for left in range(0, out.shape[2], LANES):
                from_x, from_y = affine.along(start_x, xx, xy, left, top), affine.along(start_y, yx, yy, left, top)
                inside = affine.is_inside(from_x, from_y, size)
                out[0, pl.ds(top, ROWS), pl.ds(left, LANES)] = jnp.where(inside, read(left, top, from_x, from_y), 0)

        jax.lax.fori_loop(0, out.shape[1] // ROWS, block, None)

    jax.lax.cond(is_level(yx, yy), lambda: blocks(level), lambda: blocks(slanting))
