"""Reads the pickles of the CIFAR python archives, without letting them run anything."""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

import numpy as np

# What the official files do without, and what makes objects by other ways than a call, or memory from a few bytes.
REFUSED_CODES = (
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.PERSID,
    pickle.BINPERSID,
    pickle.INST,
    pickle.OBJ,
    pickle.NEWOBJ,
    pickle.NEWOBJ_EX,
)


class UnsafePickleError(Exception):
    """The pickle asks for something that a CIFAR batch does not need."""


def load_batch(data: bytes) -> dict[str, Any]:
    """Returns the dictionary that a CIFAR batch is: lists, strings, and a uint8 array.

    The official files are protocol 2, written by Python 2; the same written by Python 3 is read too. A pickle is a
    program: here the only names it may look up are the five that a NumPy array needs, and each gives a stand-in of
    ours, so that not even NumPy's own reconstruction sees what the file says.

    Raises:
      UnsafePickleError: if the pickle looks up any other name.
      Exception: of nearly any type, if it is damaged.
    """
    # The unpickler in Python, because the one in C can be made to allocate gigabytes by a few bytes (its memo).
    batch = _unpickler()(io.BytesIO(data), encoding="latin1").load()
    if not isinstance(batch, dict):
        raise TypeError(f"it holds a {type(batch).__name__}, not a dictionary")
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: getattr(value, "array", value)
        for key, value in batch.items()
        if isinstance(key, (str, bytes))
    }


def _unpickler() -> Any:
    """Makes the unpickler with fresh stand-ins, so that what one pickle does to them no other sees."""

    class StoredType:
        def __init__(self, code: str, *_: Any) -> None:
            self.code = code

        def __setstate__(self, state: Any) -> None:
            pass  # byte order and the like: a byte has none

    class StoredArray:
        def __init__(self, *_: Any) -> None:
            self.array = np.zeros(0, np.uint8)

        def __setstate__(self, state: Any) -> None:
            _, shape, dtype, is_fortran, data = state
            if not isinstance(dtype, StoredType) or dtype.code not in ("u1", b"u1"):
                raise ValueError("its array is not uint8")
            data = data.encode("latin1") if isinstance(data, str) else bytes(data)
            flat = np.frombuffer(data, np.uint8)
            self.array = flat.reshape(tuple(shape[::-1])).T if is_fortran else flat.reshape(tuple(shape))

    def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes in protocol 2
        if encoding != "latin1":
            raise UnsafePickleError(f"codec {encoding}")
        return text.encode("latin1")

    allowed: dict[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): StoredArray,
        ("numpy._core.multiarray", "_reconstruct"): StoredArray,
        ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): StoredType,
        ("_codecs", "encode"): encode,
    }

    class Unpickler(pickle._Unpickler):
        dispatch: ClassVar[dict[int, Any]] = {
            code: load for code, load in pickle._Unpickler.dispatch.items() if bytes([code]) not in REFUSED_CODES
        }

        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in allowed:
                raise UnsafePickleError(f"{module}.{name}")
            return allowed[module, name]

    return Unpickler
