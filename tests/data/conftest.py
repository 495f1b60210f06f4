"""Small archives of the official CIFAR layouts, with random images."""

import io
import pickle
import struct
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest

FOLDERS = {
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar100", "binary"): "cifar-100-binary",
    ("cifar100", "python"): "cifar-100-python",
}
MEMBERS = {
    "cifar10": [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}


def python2_pickle(batch):
    """What Python 2's cPickle wrote in protocol 2: byte strings, integers, and a NumPy array of bytes."""

    def string(text):
        data = text if isinstance(text, bytes) else text.encode()
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def number(value):
        return b"J" + struct.pack("<i", value)

    def array(values):
        dtype = b"cnumpy\ndtype\n" + string("u1") + b"K\x00K\x01\x87R(K\x03" + string("|") + b"NNN" + number(-1)
        dtype += number(-1) + b"K\x00tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string("b") + b"\x87R"
        shape = b"".join(number(n) for n in values.shape) + b"\x86"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + string(values.tobytes()) + b"tb"

    def value(item):
        if isinstance(item, np.ndarray):
            return array(item)
        if isinstance(item, list):
            return b"](" + b"".join(number(i) if isinstance(i, int) else string(i) for i in item) + b"e"
        return string(item)

    return b"\x80\x02}(" + b"".join(string(k) + value(v) for k, v in batch.items()) + b"u."


def make_members(name, form, records=4, seed=0, pickled=python2_pickle):
    """The archive's files, {path: bytes}, and the arrays that they hold."""
    rng = np.random.default_rng(seed)
    classes = 10 if name == "cifar10" else 100
    members, parts = {}, []
    for member in MEMBERS[name]:
        images = rng.integers(0, 256, (records, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, classes, records).astype(np.uint8)
        coarse = rng.integers(0, 20, records).astype(np.uint8)
        planes = images.transpose(0, 3, 1, 2).reshape(records, 3072)
        if form == "binary":
            columns = [labels] if name == "cifar10" else [coarse, labels]
            data = np.concatenate([np.stack(columns, 1), planes], 1).tobytes()
        else:
            fine = (
                {"labels": labels.tolist()}
                if name == "cifar10"
                else {
                    "fine_labels": labels.tolist(),
                    "coarse_labels": coarse.tolist(),
                }
            )
            data = pickled({"batch_label": member, **fine, "data": planes, "filenames": ["a.png"] * records})
        suffix = ".bin" if form == "binary" else ""
        members[f"{FOLDERS[name, form]}/{member}{suffix}"] = data
        parts.append((images, labels, coarse))
    images, labels, coarse = (np.concatenate(field) for field in zip(*parts[:-1], strict=True))
    held = SimpleNamespace(
        train_images=images, train_labels=labels, train_coarse=coarse,
        test_images=parts[-1][0], test_labels=parts[-1][1], test_coarse=parts[-1][2],
    )  # fmt: skip
    members[f"{FOLDERS[name, form]}/readme.html"] = b"<html>"
    return members, held


def pack(path, members, mode="w:gz"):
    """Writes the members, (name, bytes) pairs or a dictionary, as an archive."""
    with tarfile.open(path, mode) as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture(scope="session")
def cifar():
    """The functions that write small CIFAR archives."""

    def python3_pickle(batch):
        return pickle.dumps({key.encode(): value for key, value in batch.items()}, protocol=2)

    def write(path, name="cifar10", form="binary", **options):
        members, held = make_members(name, form, **options)
        pack(path, members)
        return held

    return SimpleNamespace(write=write, make_members=make_members, pack=pack, python3_pickle=python3_pickle)
