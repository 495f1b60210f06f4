"""From the bytes of an image file to the pixels of one window of it, decoding no more than that window needs.

JPEG files of the usual kinds are decoded by TensorFlow, which leaves out the rows below the window and the colours of
all pixels outside it; the rest (CMYK, PNG, damaged files) by Pillow, which decodes whole images. Both call the same
JPEG library with the same settings, so the pixels are the same. `resize` makes the window's size of them. Nearly all of
the time is spent in C without Python's global lock.

A rotation that the file's EXIF data ask for is ignored, as torchvision and TFDS ignore it.
"""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple

import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data.tf_import import INSTALL, tensorflow

try:
    from PIL import Image

    from softaug_jax.data.resize import resize
except ImportError as error:
    raise UsageError(f"Pillow can't be imported ({error}). Install it with {INSTALL}.") from error

Box = tuple[float, float, float, float]  # (y0, x0, y1, x1), as fractions of height and width; may lie partly outside

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # that are looked for, whatever the file is called
END_OF_JPEG = b"\xff\xd9"
TRAILER_BYTES = 64  # after the end of a JPEG, of padding for example
TIE_PX = 1e-3  # output pixels so near to the image's edge are filled, so that rounding leaves no gap beside the mask
DCT_RATIOS = (8, 4, 2)  # by which the JPEG library can shrink while it decodes
DCT_GAP = 2.0  # how much is left to the antialiased resize then; with less, aliasing is seen


class UnreadableImage(Exception):
    """The bytes are no image, or a damaged one."""


class Encoded(NamedTuple):
    """An image file whose header has been read."""

    data: bytes
    header: Image.Image  # not loaded yet
    height: int  # in pixels
    width: int


class Decoded(NamedTuple):
    """Decoded pixels."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    top: int  # the first row and column, in the image shrunk by `ratio`
    left: int
    ratio: int


class Span(NamedTuple):
    """Along one axis: what part of the image is shown, and where."""

    start_px: float  # edges of the part, in pixels of the image
    stop_px: float
    first: int  # output pixels that show it, half open
    last: int

    @property
    def shrink(self) -> float:
        """Pixels of the image for one of the output."""
        return (self.stop_px - self.start_px) / (self.last - self.first)


def read_header(data: bytes) -> Encoded:
    """Finds out the size of an image; raises UnreadableImage if the bytes do not begin as one."""
    try:
        header = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's plugins raise nearly anything for damaged headers
        raise UnreadableImage(_reason(error)) from error
    return Encoded(data, header, header.height, header.width)


def cut(image: Encoded, box: Box, size_px: int, out: np.ndarray | None = None) -> np.ndarray:
    """Cuts a box out of an image and resizes it to a square: bilinear, antialiased.

    The pixels are those of Pillow's `Image.resize(..., BILINEAR, box=...)` for the part of the box inside the image.
    An output pixel shows the image if its centre lies inside; the others are 0. Where the image ends within an output
    pixel, the part is moved by less than half of one.

    Args:
      image: what `read_header` returned.
      box: (y0, x0, y1, x1) as fractions of the image's height and width; y0 < y1 and x0 < x1.
      size_px: S, the output's edge.
      out: where the pixels go, contiguous uint8 [S, S, 3]; None for a new array.

    Returns:
      Pixels, uint8 [S, S, 3].

    Raises:
      UnreadableImage: if the file is damaged; the part that the box shows may be whole all the same.
    """
    out = np.empty((size_px, size_px, 3), np.uint8) if out is None else out
    rows = _span(box[0], box[2], image.height, size_px)
    columns = _span(box[1], box[3], image.width, size_px)
    if rows is None or columns is None:
        _decode_whole(image)  # an unreadable file is one whatever the box
        out[...] = 0
        return out
    window = _decode(image, rows, columns)
    if (rows.first, rows.last, columns.first, columns.last) != (0, size_px, 0, size_px):
        out[...] = 0
    edges = (rows.start_px, columns.start_px, rows.stop_px, columns.stop_px)
    start = (window.top, window.left, window.top, window.left)
    y0, x0, y1, x1 = (edge / window.ratio - first for edge, first in zip(edges, start, strict=True))
    resize(window.pixels, (y0, x0, y1, x1), out[rows.first : rows.last, columns.first : columns.last])
    return out


def evaluation_box(height: int, width: int, *, size_px: int = 224, resize_px: int = 256) -> Box:
    """The box of "shorter edge to `resize_px`, then the central square of `size_px`", with torchvision's rounding."""
    if height <= width:
        resized = (resize_px, int(resize_px * width / height))
    else:
        resized = (int(resize_px * height / width), resize_px)
    top, left = (round((length - size_px) / 2.0) for length in resized)
    return top / resized[0], left / resized[1], (top + size_px) / resized[0], (left + size_px) / resized[1]


def _span(start: float, stop: float, length_px: int, size_px: int) -> Span | None:
    """What output pixels along one axis show of the image; None if nothing."""
    begin = start * length_px
    step = (stop - start) * length_px / size_px
    if not step > 0:
        raise ValueError(f"The box reaches from {start} to {stop}; it must not be empty.")
    first = max(math.ceil(-begin / step - 0.5 - TIE_PX), 0)
    last = min(math.floor((length_px - begin) / step - 0.5 + TIE_PX) + 1, size_px)
    if first >= last:
        return None
    return Span(max(begin + first * step, 0.0), min(begin + last * step, float(length_px)), first, last)


def _decode(image: Encoded, rows: Span, columns: Span) -> Decoded:
    """Decodes at least what the filter reaches."""
    if image.header.format == "JPEG" and image.header.mode in ("RGB", "L") and _is_complete(image.data):
        return _decode_window(image, rows, columns)
    return Decoded(_decode_whole(image), 0, 0, 1)


def _is_complete(data: bytes) -> bool:
    """Whether a JPEG has its end. A cut-off one is unreadable whatever the box, and TensorFlow would log it."""
    return END_OF_JPEG in data[-TRAILER_BYTES:]


def _decode_window(image: Encoded, rows: Span, columns: Span) -> Decoded:
    """Decodes what the filter reaches of a JPEG, shrunk if it is much larger than the output."""
    tf = tensorflow()
    shrink = min(rows.shrink, columns.shrink)
    ratio = next((ratio for ratio in DCT_RATIOS if shrink >= ratio * DCT_GAP), 1)
    top, bottom = _reach(rows, image.height, ratio)
    left, right = _reach(columns, image.width, ratio)
    try:
        pixels: Any = tf.io.decode_and_crop_jpeg(
            image.data,
            np.array((top, left, bottom - top, right - left), np.int32),
            channels=3,
            ratio=ratio,
            dct_method="INTEGER_ACCURATE",  # as fast as the default, and to the bit what Pillow has
        )
    except tf.errors.InvalidArgumentError:
        return Decoded(_decode_whole(image), 0, 0, 1)  # Pillow knows more kinds, or says what is wrong with this one
    return Decoded(np.asarray(memoryview(pixels)), top, left, ratio)  # no copy


def _reach(span: Span, length_px: int, ratio: int) -> tuple[int, int]:
    """First and last pixel, half open, that the resize reads, in an image shrunk by `ratio`."""
    margin = max(span.shrink / ratio, 1.0) + 1.0
    start, stop = math.floor(span.start_px / ratio - margin), math.ceil(span.stop_px / ratio + margin)
    return max(start, 0), min(stop, -(-length_px // ratio))


def _decode_whole(image: Encoded) -> np.ndarray:
    """All pixels, uint8 [height, width, 3]."""
    try:
        header = image.header
        if header.mode.startswith("I"):  # 16 bits a channel, of which the upper eight count
            return np.repeat((np.asarray(header) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if header.mode == "P":  # a palette may have transparent colours
            return np.asarray(header.convert("RGBA").convert("RGB"))
        return np.asarray(header.convert("RGB"))
    except Exception as error:  # OSError, SyntaxError, zlib's and struct's errors ...
        raise UnreadableImage(_reason(error)) from error


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return "it is no image that we know" if "cannot identify" in text else text or type(error).__name__
