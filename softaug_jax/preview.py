"""Writes a grid of augmented training images, with what the method makes of each, from the real pipeline.

python -m softaug_jax.preview --config=configs/cifar10_sa.py [--out=preview.png]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.report import figures
from softaug_jax.softening import confidence

NUM_IMAGES = 32


def write_preview(path: Path, config: Any, parts: Any, feed: Any, state: Any) -> None:
    """Draws the first training images as the network will see them; v, p and weight are written on each."""
    batch = {name: values[:NUM_IMAGES] for name, values in feed.batch(state.key, 0).items()}
    key = jax.random.fold_in(state.key, 0)
    draws = parts.chain.sample(key, len(batch["label"]), batch["image"].shape[1:3], given=batch)
    images, visibility = parts.chain.apply(batch["image"], draws)
    curve = config.soften
    p_min = 1.0 / parts.info.num_classes if curve.p_min is None else curve.p_min
    p = confidence(visibility, k=curve.k, p_min=p_min, p_max=curve.p_max)
    targets = p if curve.mode in ("target", "target_and_weight") else jnp.ones_like(p)
    weights = p if curve.mode in ("weight", "target_and_weight") else jnp.ones_like(p)
    pixels = np.asarray(images) * (255.0 * np.asarray(parts.info.std)) + 255.0 * np.asarray(parts.info.mean)
    names = [parts.info.class_names[label] for label in np.asarray(batch["label"])]
    captions = [
        f"{name}\nv {v:.2f}  p {t:.2f}  w {w:.2f}"
        for name, v, t, w in zip(names, *map(np.asarray, (visibility, targets, weights)), strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.image_grid(path, np.clip(pixels, 0, 255), captions)


def main(config: Any, out: str) -> None:
    """Builds just enough of the run to draw its first batch."""
    from softaug_jax.data import sources
    from softaug_jax.train import feed, setup, sharding
    from softaug_jax.train.validate import validate

    validate(config, jax.device_count())
    train = sources.load(config.dataset, "train", config.data.dir, download=config.data.download)
    parts = setup.build(config, len(train.labels))
    source = feed.create(config, parts.step, parts.chain, train, parts.schedule, sharding.over())
    write_preview(Path(out), config, parts, source, parts.initial_state())
    print(out)


if __name__ == "__main__":
    from softaug_jax import cli

    cli.run_with_config(lambda config, flags: main(config, flags.out), {"out": ("preview.png", "the file to write")})
