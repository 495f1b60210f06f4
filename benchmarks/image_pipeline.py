"""Images per second of the ImageNet host pipeline on one CPU core, beside torchvision's on PIL images.

  python -m benchmarks.image_pipeline [--folder=DIR] [--images=256] [--rounds=7] [--json=FILE]

All read the same JPEG files on the same core, in turn, round after round, and make batches of 128 images of 224 x 224.
  hard         read, decode the window, resize (`HardWindow`); the flip is drawn, and left to the device
  soft         the same with the soft crop-and-resize (`SoftWindow`), whose boxes are larger and show more of the image
  evaluation   shorter edge to 256, central crop of 224
  torchvision  DataLoader without workers over ImageFolder: RandomResizedCrop(224), RandomHorizontalFlip, PILToTensor
  torchvision evaluation  the same with Resize(256), CenterCrop(224), PILToTensor
The files are those in --folder (one folder for each class), or made: 500 x 375 pixels, upright or not, noise of seven
scales and some grain, JPEG quality 90, 93 kB each on average, where ImageNet's have 110 kB.
The ratios are what counts: they are between figures of one round on one core, so what slows the machine slows both.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.one_core import BATCH, record_on_one_core
from benchmarks.rounds import measure, ratios

SIZE_PX = 224
RESIZE_PX = 256
PEERS = {"hard": "torchvision", "soft": "torchvision", "evaluation": "torchvision evaluation"}  # of each of ours
SCALES = (2, 4, 8, 16, 32, 64, 128)  # cells of noise along an edge
GRAIN = 16  # standard deviation, in grey levels


def make_files(root: Path, count: int) -> Path:
    """Writes photograph-like JPEG files into two class folders."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = (375, 500) if number % 4 else (500, 375)
        image = np.full((height, width, 3), 120, np.float32)
        for cells in SCALES:
            noise = rng.normal(0, 75 / cells**0.7, (cells + 1, cells * width // height + 2, 3)).astype(np.float32)
            for channel in range(3):
                layer = Image.fromarray(noise[..., channel])
                image[..., channel] += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC))
        image += rng.normal(0, GRAIN, (height, width, 1))
        file = io.BytesIO()
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        path = root / f"class{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
    return root


def our_batches(folder: Path) -> dict[str, Callable[[], Iterator[Any]]]:
    """What starts each kind of batches; nothing is read before the first is asked for."""
    import jax

    from softaug_jax.augment import Chain, Flip, HardWindow, Member, SoftWindow
    from softaug_jax.data.image_batches import EvalImages, train_batches
    from softaug_jax.data.image_folder import ImageFolder

    images = ImageFolder(folder)
    seeds = itertools.count()

    def training(window: Any) -> Iterator[Any]:
        chain = Chain((Member("flip", Flip()), Member("crop", window)))
        size = dict(size_px=SIZE_PX, resize_px=RESIZE_PX)
        return train_batches(images, chain, seed=next(seeds), batch_size=BATCH, **size, num_threads=1)

    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    evaluation = EvalImages(images, BATCH, device, num_threads=1)
    return {
        "hard": lambda: training(HardWindow()),
        "soft": lambda: training(SoftWindow()),
        "evaluation": lambda: endless(evaluation),
    }


def peer_batches(folder: Path) -> dict[str, Callable[[], Iterator[Any]]]:
    """What starts torchvision's batches. Before ours: torch's libraries crash after TensorFlow's have been loaded."""
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    training = [transforms.RandomResizedCrop(SIZE_PX), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    evaluation = [transforms.Resize(RESIZE_PX), transforms.CenterCrop(SIZE_PX), transforms.PILToTensor()]

    def start(chain: list[Any]) -> Iterator[Any]:
        dataset = datasets.ImageFolder(str(folder), transforms.Compose(chain))
        loader: Any = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=0, drop_last=True)
        return endless(loader)

    return {"torchvision": lambda: start(training), "torchvision evaluation": lambda: start(evaluation)}


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches again and again."""
    while True:
        yield from batches


def lap(start: Callable[[], Iterator[Any]], count: int, rounds: int) -> Callable[[], int]:
    """A round's work: so many batches, from a start to an end, so that no thread works on in another one's round."""
    prepared = [start() for _ in range(rounds)]

    def run() -> int:
        batches = prepared.pop()
        for _ in range(count):
            next(batches)
        batches.close()  # type: ignore[attr-defined]
        return count * BATCH

    return run


def main(options: argparse.Namespace, folder: Path, core: int) -> dict[str, Any]:
    """Measures, prints the table and returns the record."""
    try:
        peers = peer_batches(folder)
    except ImportError as error:
        print(f"without torchvision ({error})")
        peers = {}
    starts = our_batches(folder) | peers
    laps = {name: lap(start, options.batches, options.rounds + 1) for name, start in starts.items()}
    for run in laps.values():  # what happens only once
        run()
    rates = measure(laps, options.rounds)
    kilobytes = statistics.mean(path.stat().st_size for path in folder.glob("*/*")) / 1e3
    print(f"one core ({core}), files of {kilobytes:.0f} kB on average, batches of {BATCH}, {options.rounds} rounds")
    ratio = {}
    for name, values in rates.items():
        line = f"  {name:22s} {statistics.median(values):6,.0f} images/s, at most {max(values):6,.0f}"
        if PEERS.get(name) in rates:
            ratio[name] = ratios(values, rates[PEERS[name]])
            line += "   {median:.2f} x {peer} ({min:.2f} to {max:.2f})".format(**ratio[name], peer=PEERS[name])
        print(line)
    return {
        "images_per_second": rates,
        "ratio": ratio,
        "kilobytes": kilobytes,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="", help="JPEG files in one folder for each class; default: made ones")
    parser.add_argument("--images", type=int, default=256, help="how many to make, at least 128")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=8, help="of each, each round")
    parser.add_argument("--json", default="", help="where to write the record")
    options = parser.parse_args()
    options.dataset = options.folder or "made"

    def measured(core: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(options.folder) if options.folder else make_files(Path(scratch) / "set", options.images)
            return main(options, folder, core)

    record_on_one_core("benchmarks.image_pipeline", options, measured)
