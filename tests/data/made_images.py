"""Small sets of image files: of varied size and kind, in one folder for each class, or as TFRecord files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

# What the real set has: mostly baseline JPEGs, some grey, a few CMYK, a PNG under a JPEG's name.
KINDS = ("RGB", "RGB", "RGB", "L", "progressive", "CMYK", "PNG")


def pixels(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth colours with some grain, uint8 [height, width, 3]."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)


def encode(image: np.ndarray, kind: str = "RGB", quality: int = 90) -> bytes:
    """An image file with these pixels; of a CMYK or grey file the colours differ."""
    file = io.BytesIO()
    picture = Image.fromarray(image)
    if kind == "PNG":
        picture.save(file, "PNG")
    elif kind == "progressive":
        picture.save(file, "JPEG", quality=quality, progressive=True)
    else:
        picture.convert(kind).save(file, "JPEG", quality=quality)
    return file.getvalue()


def make_files(count: int = 64, num_classes: int = 4, seed: int = 0) -> list[tuple[int, bytes]]:
    """Labels and files, edges of 40 to 120 pixels; the classes differ in brightness, so that they can be learnt."""
    rng = np.random.default_rng(seed)
    files = []
    for i in range(count):
        label = i % num_classes
        height, width = rng.integers(40, 121, 2)
        image = pixels(rng, height, width) // 3 + np.uint8(160 * label / max(num_classes - 1, 1))
        files.append((label, encode(image, KINDS[i % len(KINDS)])))
    return files


def class_names(num_classes: int) -> list[str]:
    """Folder names like ImageNet's."""
    return [f"n{10_000 + 7 * label:08d}" for label in range(num_classes)]


def write_folders(root: Path, files: list[tuple[int, bytes]], names: list[str]) -> Path:
    """Writes <root>/<class>/<number>.JPEG; the numbers are those of the list."""
    for number, (label, data) in enumerate(files):
        folder = root / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}.JPEG").write_bytes(data)
    return root


def make_folders(data_dir: Path, train: int = 64, test: int = 24, num_classes: int = 4) -> Path:
    """Writes <data_dir>/train and <data_dir>/val and returns `data_dir`."""
    for split, count, seed in (("train", train, 0), ("val", test, 1)):
        write_folders(data_dir / split, make_files(count, num_classes, seed), class_names(num_classes))
    return data_dir
