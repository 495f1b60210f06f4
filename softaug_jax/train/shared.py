"""What all processes of one run must have in common, and all its starts, and how each says what it has."""

from __future__ import annotations

import json
import time
import zlib
from typing import Any

import jax
import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data.image_set import ImageSet
from softaug_jax.data.sources import Arrays
from softaug_jax.run_files import flatten
from softaug_jax.train.summary import versions
from softaug_jax.train.workdir import FREE_FIELDS, Workdir

SEEN_SECONDS = 60.0  # a network file system may show a new file so late


def program(config: Any) -> dict[str, Any]:
    """The config, the software and the kind of machine, as plain values."""
    fields = flatten(json.loads(json.dumps(config.to_dict())))
    return {
        **{f"config.{name}": value for name, value in fields.items() if not name.startswith(FREE_FIELDS)},
        "whether config.data.v2_dir is set": bool(config.data.get("v2_dir")),
        **{f"the version of {name}": version for name, version in versions().items()},
        "the kind of device": jax.local_devices()[0].device_kind,
        "the number of devices": jax.local_device_count(),
    }


def digest(images: Arrays | ImageSet) -> dict[str, str]:
    """What a split of a data set is, in few words: counts, types and a checksum of all bytes (0.1 s for CIFAR).

    Of files, it is of their names and labels.
    """
    if not isinstance(images, Arrays):
        return images.digest()
    return {name: _digest(values) for name, values in images._asdict().items()}


def check_train(folder: Workdir, there: dict[str, str] | None, now: dict[str, str]) -> None:
    """Raises UsageError if a run was begun with other training images; `there` is None where it doesn't say."""
    for field in now:
        if there is not None and there.get(field) != now[field]:
            raise UsageError(
                f"--workdir={folder.path} was begun with other training images, or with these in another order "
                f"({field}: {there.get(field)} there, {now[field]} now). Name the copy that it began with by "
                "--config.data.dir, or choose another workdir."
            )


def _digest(values: np.ndarray) -> str:
    return f"{values.dtype}{list(values.shape)}, crc32 {zlib.crc32(np.ascontiguousarray(values).data):08x}"


def wait_until_seen(folder: Workdir) -> None:
    """Waits until this process sees what the first one made; UsageError if it does not."""
    end = time.monotonic() + SEEN_SECONDS
    while not folder.is_run():
        if time.monotonic() > end:
            raise UsageError(
                f"--workdir={folder.path} is not the same folder on every machine: process {jax.process_index()} does "
                f"not see what process 0 wrote there {SEEN_SECONDS:g} s ago. Name one on a file system that all share."
            )
        time.sleep(0.1)
