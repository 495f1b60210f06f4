"""Resampling large images on a TPU, with the pixels of `affine.resample`.

A TPU gathers one pixel after another: by the compiler's cost model 128 images of 224 x 224 take a v5e 40 ms, where the
whole step of ResNet-50 takes 71. But its vector unit permutes 128 numbers of a row at once. So for each block of
8 x 128 output pixels this kernel goes through the rows that the block reads, permutes each, and keeps what belongs.
"""

from __future__ import annotations

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import NamedSharding

from softaug_jax.augment import affine

ROWS, LANES = 8, 128  # of a register
_AT_ONCE = 4  # rows of the image: one permutation is waited for while others are under way


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
    rows = jnp.pad(words, ((0, 0), (0, 0), (0, groups * LANES - width))).reshape(batch, height, groups, LANES)
    read = pl.pallas_call(
        partial(_kernel, size=(height, width)),
        grid=(batch,),
        in_specs=[
            pl.BlockSpec((1, 1, 6), lambda image: (image, 0, 0), memory_space=pltpu.SMEM),
            pl.BlockSpec((1, height, groups, LANES), lambda image: (image, 0, 0, 0)),
        ],
        out_specs=pl.BlockSpec((1, blocks * ROWS, groups * LANES), lambda image: (image, 0, 0)),
        out_shape=jax.ShapeDtypeStruct((batch, blocks * ROWS, groups * LANES), jnp.int32),
        interpret=interpret,
    )
    return read(coefficients[:, None], rows)[:, :height, :width]


def _kernel(coefficients, rows, out, *, size: tuple[int, int]) -> None:
    """One image: `rows` [1, H, groups, 128] to `out`, padded, by `coefficients` [1, 1, 6]."""
    height, _ = size
    xx, xy, x0, yx, yy, y0 = (coefficients[0, 0, i] for i in range(6))
    lane, sublane = (jax.lax.broadcasted_iota(jnp.int32, (ROWS, LANES), axis) for axis in (1, 0))

    def block(number: jax.Array, _: None) -> None:
        for group in range(rows.shape[2]):
            x, y = lane + group * LANES, sublane + number * ROWS
            from_x, from_y = affine.along(x0, xx, xy, x, y), affine.along(y0, yx, yy, x, y)
            corners = [
                affine.along(y0, yx, yy, x, number * ROWS + down)
                for x in (group * LANES, group * LANES + LANES - 1)
                for down in (0, ROWS - 1)
            ]
            first = jnp.maximum(reduce(jnp.minimum, corners), 0)
            last = jnp.minimum(reduce(jnp.maximum, corners), height - 1)

            def keep(turn: jax.Array, found: jax.Array) -> jax.Array:
                for each in range(_AT_ONCE):
                    row = first + _AT_ONCE * turn + each  # noqa: B023
                    source = rows[0, jnp.minimum(row, height - 1)]
                    for part in range(rows.shape[2]):
                        numbers = jnp.broadcast_to(source[part : part + 1], (ROWS, LANES))
                        permuted = jnp.take_along_axis(numbers, from_x & (LANES - 1), axis=1)  # noqa: B023
                        found = jnp.where((from_y == row) & (from_x >> 7 == part), permuted, found)  # noqa: B023
                return found

            turns = jnp.maximum(last - first + _AT_ONCE, 0) // _AT_ONCE
            found = jax.lax.fori_loop(0, turns, keep, jnp.zeros((ROWS, LANES), jnp.int32))
            place = (0, pl.ds(number * ROWS, ROWS), pl.ds(group * LANES, LANES))
            out[place] = jnp.where(affine.is_inside(from_x, from_y, size), found, 0)

    jax.lax.fori_loop(0, out.shape[1] // ROWS, block, None)
