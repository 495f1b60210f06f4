"""What a run left, back on the devices: its parts, and the state of its newest checkpoint."""

from __future__ import annotations

import jax

from softaug_jax.checks import UsageError
from softaug_jax.train import distributed
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.setup import Parts
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState
from softaug_jax.train.workdir import Workdir


def check_saved(folder: Workdir) -> None:
    """Raises UsageError if the workdir has no checkpoint."""
    if not any((folder.path / "checkpoints").glob("*[0-9]")):
        raise UsageError(f"{folder.path} has no checkpoint yet. Train there first.")


def restore(folder: Workdir, parts: Parts, shardings: Shardings) -> TrainState:
    """The state of the newest intact checkpoint, on all devices. Nothing in the workdir is changed.

    Args:
      folder: of the run.
      parts: of the run's config, or of one that differs in the seed only.
      shardings: of the devices.

    Raises:
      UsageError: if there is no checkpoint, or none is intact.
    """
    check_saved(folder)
    checkpoints = Checkpoints(folder.path, read_only=True)
    try:
        distributed.peers().agree(checkpoint=checkpoints.latest_step())
        state, _ = checkpoints.restore(jax.eval_shape(parts.initial_state), shardings.replicated)
    finally:
        checkpoints.close()
    return state
