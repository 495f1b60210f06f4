"""The real programs of a run, traced for devices that need not be here: a step, a dispatch of several, evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.model_flops import forward_flops
from softaug_jax.data.device import DeviceData
from softaug_jax.target import compiling_for
from softaug_jax.train import evaluation, feed, setup, sharding

PROGRAMS = ("step", "dispatch", "eval")


class Program(NamedTuple):
    """A traced program: `lowered.compile()` compiles it."""

    lowered: Any
    steps: int  # of training or evaluation in one call
    images: int  # of one step, over all devices
    flops: float  # of the network's convolutions and matrix products, of one step
    outside: str = "update"  # the part of the step that what is under no named scope is of


def trace(config: Any, platform: str, devices: Sequence[Any], name: str) -> Program:
    """The program of a run with this config.

    Args:
      config: as main.py has it.
      platform: of the devices, "gpu" or "tpu".
      devices: attached ones, or described by `jax.experimental.topologies`.
      name: one of PROGRAMS.
    """
    with compiling_for(platform, len(devices)):
        parts = setup.build(config)
        asked = config.data.steps_per_dispatch if name == "dispatch" else 1
        length = feed.steps_of_dispatch(asked, parts.schedule)
        shardings = sharding.over(list(devices))
        state = jax.eval_shape(parts.initial_state)
        about, batch = parts.info, config.eval_batch_size if name == "eval" else config.batch_size
        images = lambda count: jax.ShapeDtypeStruct((count, *about.image_size, about.channels), np.uint8)
        labels = lambda count: jax.ShapeDtypeStruct((count,), np.int32)
        flops = forward_flops(parts.model, state, about, batch)
        if name == "eval":
            predict = evaluation.jit_predict(parts.predict, about, shardings)
            return Program(predict.lower(state, images(batch)), 1, batch, flops, outside="forward")
        if name == "step":
            fields = {"image": images(batch), "label": labels(batch)}
            if about.encoded:  # the host cuts the images, and says what it cut
                fields["crop"] = jax.ShapeDtypeStruct((batch, 4), np.float32)
            return Program(feed.jit_step(parts.step, shardings).lower(state, fields), 1, batch, 3 * flops)
        shape = (*about.image_size, about.channels)
        rows = jax.ShapeDtypeStruct((about.num_train, math.prod(shape)), np.uint8)
        data = DeviceData(rows, labels(about.num_train), shape)
        arguments = (state, data, labels(2 * about.num_train), jax.ShapeDtypeStruct((), np.int32))
        dispatch = feed.jit_dispatch(parts.step, parts.schedule, shardings, length)
        return Program(dispatch.lower(*arguments), length, batch, 3 * flops)
