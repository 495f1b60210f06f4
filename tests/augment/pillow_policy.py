"""The operations of torchvision's policies, written from Pillow's public functions, one image at a time."""

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

ENHANCERS = ["Brightness", "Color", "Contrast", "Sharpness"]
RESAMPLED = ["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]
LOOKED_UP = ["Posterize", "Solarize", "AutoContrast", "Equalize"]
NAMES = ["Identity", *RESAMPLED, *ENHANCERS, *LOOKED_UP]
SIGNED = {*RESAMPLED, *ENHANCERS}


def spaces(size):
    """The magnitudes of RandAugment and TrivialAugmentWide, 31 bins each, from the papers' and torchvision's ranges."""
    height, width = size
    line = lambda start, stop: np.linspace(start, stop, 31)
    enhance = lambda strongest: {name: line(0, strongest) for name in ENHANCERS}
    rand = {
        "ShearX": line(0, 0.3),
        "ShearY": line(0, 0.3),
        "TranslateX": line(0, 150 / 331 * width),
        "TranslateY": line(0, 150 / 331 * height),
        "Rotate": line(0, 30),
        "Posterize": 8 - np.round(np.arange(31) / (30 / 4)),
        "Solarize": line(255, 0),
    }
    trivial = {
        "ShearX": line(0, 0.99),
        "ShearY": line(0, 0.99),
        "TranslateX": line(0, 32),
        "TranslateY": line(0, 32),
        "Rotate": line(0, 135),
        "Posterize": 8 - np.round(np.arange(31) / (30 / 6)),
        "Solarize": line(255, 0),
    }
    return {"rand": rand | enhance(0.9), "trivial": trivial | enhance(0.99)}


def to_pillow(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def operate(picture, name, magnitude):
    """One operation on a Pillow image; the magnitude has its sign."""
    if name == "Identity":
        return picture
    if name == "Rotate":
        return picture.rotate(magnitude)
    if name in RESAMPLED:
        pixels = int(magnitude)
        read_at = {
            "ShearX": (1, magnitude, 0, 0, 1, 0),
            "ShearY": (1, 0, 0, magnitude, 1, 0),
            "TranslateX": (1, 0, -pixels, 0, 1, 0),
            "TranslateY": (1, 0, 0, 0, 1, -pixels),
        }[name]
        return picture.transform(picture.size, Image.Transform.AFFINE, read_at)
    if name in ENHANCERS:
        return getattr(ImageEnhance, name)(picture).enhance(1 + magnitude)
    if name == "Posterize":
        return ImageOps.posterize(picture, int(magnitude))
    if name == "Solarize":
        return ImageOps.solarize(picture, magnitude)
    return {"AutoContrast": ImageOps.autocontrast, "Equalize": ImageOps.equalize}[name](picture)


def operate_on_pixels(image, name, space, bin_number, negative):
    """The same on uint8 pixels [H, W, C], with the magnitude from a space."""
    magnitude = float(space[name][bin_number]) if name in space else 0.0
    if negative and name in SIGNED:
        magnitude = -magnitude
    return np.asarray(operate(to_pillow(image), name, magnitude)).reshape(image.shape)
