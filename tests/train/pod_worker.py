"""One of several processes that train together, for test_pod.py: python -m tests.train.pod_worker FLAGS OUT."""

import sys

import jax
import numpy as np

from tests.train.helpers import config, train
from tests.train.pods import joined

STEPS = 50
LOADERS = ("device", "tfdata")
# A small rate, as in test_feed.py: rounding is to be the only difference between the programs.
FIELDS = {"optimizer__learning_rate": 0.001}


def losses(devices: int) -> dict[str, np.ndarray]:
    """Each step's mean loss, with each loader."""
    return {loader: train(config(data__loader=loader, **FIELDS), STEPS, devices)[1] for loader in LOADERS}


if __name__ == "__main__":
    with joined(sys.argv):
        assert jax.process_count() == 2 and jax.device_count() == 2 and jax.local_device_count() == 1
        found = losses(2)
        np.savez(f"{sys.argv[-1]}/process{jax.process_index()}.npz", **found)
