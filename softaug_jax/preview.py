"""Writes a grid of augmented training images, with what the method makes of each, from the real pipeline.

python -m softaug_jax.preview --config=configs/cifar10_sa.py [--out=preview.png]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data.info import DatasetInfo
from softaug_jax.paths import path_of
from softaug_jax.report import figures, pair_figure

NUM_IMAGES = 32
NUM_PAIRS = 12


def write_preview(path: Path, parts: Any, feed: Any, key: jax.Array) -> None:
    """Draws the first training batch as the network will see it; `key` is the run's."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts.task.preview(path, parts, feed.batch(key, 0), jax.random.fold_in(key, 0))
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}. Name another file.") from None


def draw_images(path: Path, parts: Any, batch: Mapping[str, Any], key: jax.Array) -> None:
    """Draws the batch's first images, each with v, the label's target p and the weight w."""

    def see(batch: Mapping[str, Any], key: jax.Array) -> tuple[jax.Array, ...]:
        batch = _first(NUM_IMAGES, batch, parts.chain, key)
        seen, labels = parts.chain.augment(batch, key), batch["label"]
        softened = parts.objective.soften(labels, seen.visibility, seen.share, parts.objective.initial_memory())
        confidence = jnp.take_along_axis(softened.targets, labels[:, None], axis=1)[:, 0]
        return seen.images, labels, seen.visibility, confidence, softened.weights

    images, *rows = map(np.asarray, jax.jit(see)(batch, key))
    captions = [
        f"{parts.info.class_name(label)}\nv {v:.2f}  p {t:.2f}  w {w:.2f}" for label, v, t, w in zip(*rows, strict=True)
    ]
    figures.image_grid(path, _pixels(images, parts.info), captions)


def _first(count: int, batch: Mapping[str, Any], chain: Any, key: jax.Array) -> dict[str, Any]:
    """The batch's first examples with their draws, which are made for the whole batch, as in training."""
    images = batch["image"]
    batch = {**batch, **chain.sample(key, images.shape[0], images.shape[1:3], given=batch)}
    return {name: jax.tree.map(lambda values: values[:count], values) for name, values in batch.items()}


def draw_pairs(path: Path, parts: Any, batch: Mapping[str, Any], key: jax.Array) -> None:
    """Draws the batch's first images with the boxes of their two views, the views, the boxes' IoU and the weight."""

    def see(batch: Mapping[str, Any], key: jax.Array) -> tuple[jax.Array, ...]:
        batch = _first(NUM_PAIRS, batch, parts.chain, key)
        seen = parts.chain.augment(batch, key)
        weights = parts.objective.soften(batch["label"], seen.visibility, seen.share, ()).weights
        return batch["image"], batch["crop_a"], batch["crop_b"], seen.images, seen.visibility, weights

    images, first, second, views, iou, weights = map(np.asarray, jax.jit(see)(batch, key))
    pair_figure.pair_grid(path, images, first, second, _pixels(views, parts.info), iou, weights)


def _pixels(images: np.ndarray, about: DatasetInfo) -> np.ndarray:
    """Normalised images [..., C] as they are shown, in 0 to 255."""
    return np.clip(images * (255.0 * np.asarray(about.std)) + 255.0 * np.asarray(about.mean), 0, 255)


def main(config: Any, out: str, typed: Mapping[str, Any] | None = None) -> None:
    """Builds just enough of the run to draw its first batch; `typed` is as in `loop.run`."""
    from softaug_jax.train import feed, setup, sharding, state
    from softaug_jax.train.evaluation import load
    from softaug_jax.train.validate import validate

    path = path_of(out)
    validate(config, jax.device_count(), typed)
    train = load(config, "train")
    parts = setup.build(config, len(train.labels))
    source = feed.create(config, parts.step, parts.chain, train, parts.schedule, sharding.over())
    write_preview(path, parts, source, state.base_key(config.seed))
    print(out)


if __name__ == "__main__":
    from absl import flags

    from softaug_jax import cli

    flags.DEFINE_string("out", "preview.png", "the file to write")
    cli.run_with_config(lambda config, options: main(config, options.out, cli.typed(options)))
