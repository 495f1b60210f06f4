"""Images per second of the input pipeline on one CPU core, beside the same transforms image by image.

  python -m benchmarks.input_pipeline [--dataset=cifar10 --data_dir=DIR] [--rounds=5] [--json=FILE]

All run on the same core, in turn, round after round: flip, soft crop with mean-colour fill, normalise, batches of 128.
  host        tf.data as the training loop has it: shuffle, gather, draw. The pixels are left to the device.
  host+pixels the same, and the device's part (the jitted chain) on this core too: the same work as the peer's.
  per image   a PyTorch DataLoader without workers over a Dataset that transforms PIL images one by one, where torch is
              installed; else the same Dataset and collation in NumPy.
The ratios are what counts: they are between figures of one run on one core.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.one_core import BATCH, images_of, measure, run_on_one_core
from benchmarks.rounds import ratios

SIGMA = 0.3


def our_pipelines(arrays: Any) -> dict[str, Iterator[Any]]:
    """The tf.data pipeline, and the same followed by the device's part."""
    import jax

    from softaug_jax.augment import Chain, Flip, Member, Normalize, SoftCrop
    from softaug_jax.data import tfdata

    normalize = Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    chain = Chain((Member("flip", Flip()), Member("normalize", normalize), Member("crop", SoftCrop(SIGMA))))
    batches = lambda: tfdata.train_batches(arrays, chain, seed=0, batch_size=BATCH, num_threads=1)
    names = ("flip", "crop")
    apply = jax.jit(lambda batch: chain.apply(batch["image"], {"normalize": None, **{n: batch[n] for n in names}}))

    def with_pixels() -> Iterator[Any]:
        for batch in batches():
            yield jax.block_until_ready(apply(batch))

    return {"host": batches(), "host+pixels": with_pixels()}


class PerImage:
    """A map-style Dataset with the usual transforms, one PIL image at a time."""

    def __init__(self, arrays: Any):
        import numpy as np

        self.images, self.labels = arrays.images, arrays.labels
        self.rng = np.random.default_rng(0)
        self.mean = np.array([0.4914, 0.4822, 0.4465], np.float32)
        self.std = np.array([0.2470, 0.2435, 0.2616], np.float32)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int, float]:
        import numpy as np
        from PIL import Image

        image = Image.fromarray(self.images[index])
        if self.rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        height, width = self.images.shape[1:3]
        while True:
            ty, tx = (int(t) for t in self.rng.normal(0, SIGMA * height, 2))
            if abs(ty) < height and abs(tx) < width:
                break
        pixels = (np.asarray(image, np.float32) / 255 - self.mean) / self.std
        shifted = np.zeros_like(pixels)
        shifted[max(-ty, 0) : height - max(ty, 0), max(-tx, 0) : width - max(tx, 0)] = pixels[
            max(ty, 0) : height - max(-ty, 0), max(tx, 0) : width - max(-tx, 0)
        ]
        visibility = (height - abs(ty)) * (width - abs(tx)) / (height * width)
        return np.ascontiguousarray(shifted.transpose(2, 0, 1)), int(self.labels[index]), visibility


def per_image_pipeline(arrays: Any) -> tuple[str, Iterator[Any]]:
    """The peer's name and its batches, without end."""
    dataset = PerImage(arrays)
    try:
        import torch
    except ImportError:
        return "per image (NumPy collation; torch is not installed)", _numpy_batches(dataset)
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=0, drop_last=True)  # type: ignore[arg-type]

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    return f"per image (torch {torch.__version__} DataLoader)", batches()


def _numpy_batches(dataset: PerImage) -> Iterator[Any]:
    import numpy as np

    while True:
        order = np.random.default_rng(0).permutation(len(dataset))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            images, labels, visibility = zip(*(dataset[i] for i in order[start : start + BATCH]), strict=True)
            yield np.stack(images), np.array(labels), np.array(visibility)


def main(options: argparse.Namespace, core: int) -> dict[str, Any]:
    """Measures, prints the table and returns the record."""
    arrays = images_of(options.dataset, options.data_dir, options.images)
    peer, peer_batches = per_image_pipeline(arrays)
    rates = measure({**our_pipelines(arrays), peer: peer_batches}, options.rounds, options.seconds)
    ratio = {name: ratios(rates[name], rates[peer])["median"] for name in ("host", "host+pixels")}
    print(f"one core ({core}), batches of {BATCH}, {options.dataset} images, median of {options.rounds} rounds")
    for name, values in rates.items():
        times = f"{ratio[name]:6.1f} x" if name in ratio else ""
        print(f"  {name:52s} {statistics.median(values):10,.0f} images/s  {times}")
    return {
        "images_per_second": rates,
        "ratio_to_per_image": ratio,
        "peer": peer,
    }


if __name__ == "__main__":
    run_on_one_core("benchmarks.input_pipeline", __doc__, main)
