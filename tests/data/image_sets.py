"""Chains that cut files, sets of files in memory, and batches of them."""

import itertools

import numpy as np

from softaug_jax.augment import Chain, Flip, HardWindow, Member, Normalize, SoftWindow
from softaug_jax.data.image_batches import train_batches
from softaug_jax.data.image_set import set_digest

NORMALIZE = Member("normalize", Normalize((0.5,), (0.2,)))
SOFT = Chain((Member("flip", Flip()), NORMALIZE, Member("crop", SoftWindow())))
HARD = Chain((Member("flip", Flip()), NORMALIZE, Member("crop", HardWindow())))
OPTIONS = {"seed": 5, "batch_size": 6, "size_px": 16, "resize_px": 18, "num_threads": 2}


class InMemory:
    """Files in a list, for the protocol."""

    def __init__(self, files, labels=None):
        self.files = files
        self.labels = np.arange(len(files), dtype=np.int32) if labels is None else labels

    def __len__(self):
        return len(self.files)

    def read(self, index):
        if isinstance(self.files[index], Exception):
            raise self.files[index]
        return self.files[index]

    def name(self, index):
        return f"file {index}"

    def digest(self):
        return set_digest(self.labels, self.labels)


def take(count, *args, **options):
    batches = train_batches(*args, **{**OPTIONS, **options})
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken
