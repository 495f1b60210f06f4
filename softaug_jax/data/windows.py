"""The boxes of the crop-and-resize, drawn on the host: numbers for a whole batch, and each image's box from its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from softaug_jax.augment import Chain, HardWindow, Member, Pair, SoftWindow
from softaug_jax.augment.resized_crop import TRIES, ResizedCrop
from softaug_jax.checks import UsageError
from softaug_jax.data.decode import Box

SMALLEST_SIDE = 1e-3  # of the longer edge: the truncated normal may come so near to 0 that single precision sees none


class Sampler(NamedTuple):
    """How one kind of window is drawn. The numbers do not depend on the images' sizes, which are known only later."""

    sample: Callable[[Any, Any, Any, int], Any]  # (tf, transform, seed [2], batch) -> float32 [batch, ...]
    box: Callable[[Any, np.ndarray, int, int], Box]  # (transform, an image's numbers, height, width in pixels)


def window_of(chain: Chain | Pair) -> Member | None:
    """The chain's window, or None; raises UsageError if it has two."""
    windows = [member for member in chain.members if type(member.transform) in WINDOWS]
    if len(windows) > 1:
        raise UsageError(f"{' and '.join(member.name for member in windows)} both cut the image out; keep one of them.")
    return windows[0] if windows else None


def _sample_soft(tf: Any, window: SoftWindow, seed: Any, batch: int) -> Any:
    """The distribution of `crops.sample_boxes`, from TensorFlow's generator: (ty, tx, sy - 1, sx - 1) [batch, 4]."""
    window.check()
    return tf.random.stateless_parameterized_truncated_normal(
        (batch, 4), seed, means=0.0, stddevs=window.sigma, minvals=-1.0, maxvals=1.0
    )


def _soft_box(window: SoftWindow, numbers: np.ndarray, height: int, width: int) -> Box:
    longer = max(height, width)
    ty, tx, sy, sx = numbers.tolist()
    tall, wide = max(1 + sy, SMALLEST_SIDE), max(1 + sx, SMALLEST_SIDE)
    edge = lambda shift, length: 0.5 + shift * longer / length
    return (
        edge(ty - tall / 2, height),
        edge(tx - wide / 2, width),
        edge(ty + tall / 2, height),
        edge(tx + wide / 2, width),
    )


def _sample_hard(tf: Any, window: HardWindow, seed: Any, batch: int) -> Any:
    """Uniform numbers [batch, 2 * TRIES + 2]: areas and shapes of the tries, and the place."""
    ResizedCrop(window.scale, window.ratio).check()
    return tf.random.stateless_uniform((batch, 2 * TRIES + 2), seed)


def _hard_box(window: HardWindow, numbers: np.ndarray, height: int, width: int) -> Box:
    """`ResizedCrop.sample` for one image: the first of ten tries whose sides fit, in whole pixels."""
    uniform = numbers.tolist()
    low, high = (math.log(ratio) for ratio in window.ratio)
    for area, shape in zip(uniform[:TRIES], uniform[TRIES : 2 * TRIES], strict=True):
        area_px = height * width * (window.scale[0] + (window.scale[1] - window.scale[0]) * area)
        ratio = math.exp(low + (high - low) * shape)
        rows, columns = round(math.sqrt(area_px / ratio)), round(math.sqrt(area_px * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top = math.floor(uniform[2 * TRIES] * (height - rows + 1))
            left = math.floor(uniform[2 * TRIES + 1] * (width - columns + 1))
            return top / height, left / width, (top + rows) / height, (left + columns) / width
    top, left, bottom, right = ResizedCrop(window.scale, window.ratio).fall_back((height, width))
    return top / height, left / width, bottom / height, right / width


WINDOWS: dict[type, Sampler] = {
    SoftWindow: Sampler(_sample_soft, _soft_box),
    HardWindow: Sampler(_sample_hard, _hard_box),
}
