"""The operations of RandAugment and TrivialAugment, and how strong each is at each magnitude bin.

Everything here is NumPy on the host: the strengths become small tables, constants of the compiled program.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# In torchvision's order. The first does nothing, so that draws of zero leave an image as it is.
OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)

Space = Mapping[str, np.ndarray]  # the magnitudes of an operation, [num_bins]; an operation that has none is missing


def randaugment_space(num_bins: int, size: tuple[int, int]) -> Space:
    """RandAugment's magnitudes for images of `size` (H, W), torchvision's: float32 [num_bins], Posterize int.

    Shears are tangents, translations pixels, rotations degrees; the enhancements' factor is 1 + magnitude, Posterize
    counts bits, Solarize is a threshold.
    """
    height, width = size
    return {
        "ShearX": _steps(0.0, 0.3, num_bins),
        "ShearY": _steps(0.0, 0.3, num_bins),
        "TranslateX": _steps(0.0, 150.0 / 331.0 * width, num_bins),
        "TranslateY": _steps(0.0, 150.0 / 331.0 * height, num_bins),
        "Rotate": _steps(0.0, 30.0, num_bins),
        **_colour_space(0.9, 4, num_bins),
    }


def trivialaugment_space(num_bins: int) -> Space:
    """TrivialAugmentWide's magnitudes, in the units of `randaugment_space`."""
    return {
        "ShearX": _steps(0.0, 0.99, num_bins),
        "ShearY": _steps(0.0, 0.99, num_bins),
        "TranslateX": _steps(0.0, 32.0, num_bins),
        "TranslateY": _steps(0.0, 32.0, num_bins),
        "Rotate": _steps(0.0, 135.0, num_bins),
        **_colour_space(0.99, 6, num_bins),
    }


def signed(magnitudes: np.ndarray) -> np.ndarray:
    """Magnitudes [num_bins] and their negatives, float64 [num_bins, 2]."""
    return np.stack([magnitudes, -magnitudes], axis=-1).astype(np.float64)


def by_operation(space: Space, neutral: object, settings: Mapping[str, np.ndarray]) -> np.ndarray:
    """A table over all operations, [14, num_bins, ...]: each named one's settings, and `neutral` for the others."""
    num_bins = len(space["Rotate"])
    shape = (len(OPERATIONS), num_bins, *next(iter(settings.values())).shape[1:])
    table = np.array(np.broadcast_to(np.asarray(neutral), shape))
    for name, setting in settings.items():
        table[OPERATIONS.index(name)] = setting
    return table


def _colour_space(strongest: float, fewest_bits_less: int, num_bins: int) -> dict[str, np.ndarray]:
    enhance = {name: _steps(0.0, strongest, num_bins) for name in ("Brightness", "Color", "Contrast", "Sharpness")}
    bits = np.arange(num_bins, dtype=np.float32) / np.float32((num_bins - 1) / fewest_bits_less)
    return {**enhance, "Posterize": 8 - np.rint(bits).astype(np.int32), "Solarize": _steps(255.0, 0.0, num_bins)}


def _steps(start: float, stop: float, count: int) -> np.ndarray:
    """Evenly spaced float32 values, bit for bit PyTorch's `linspace`: up to the middle, then down from the end.

    The bits matter: a translation is truncated to whole pixels, and a blend to whole grey levels.
    """
    first, last = np.float32(start), np.float32(stop)
    step = (last - first) / np.float32(count - 1)
    number = np.arange(count, dtype=np.float64)
    upwards, downwards = float(first) + float(step) * number, float(last) - float(step) * (count - 1 - number)
    return np.where(number < count // 2, upwards, downwards).astype(np.float32)
