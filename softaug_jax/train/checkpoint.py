"""Checkpoints by Orbax: asynchronous, the last three kept, restored exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from softaug_jax.train.state import TrainState


class Checkpoints:
    """The checkpoints of a workdir: the train state, and a small dictionary of what else must survive."""

    def __init__(self, workdir: Path, keep: int = 3):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, step: int, extra: dict[str, Any]) -> None:
        """Starts saving; returns before it is written. Does nothing if the step is there already."""
        if self.latest_step() == step:
            return
        self._manager.save(
            step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), extra=ocp.args.JsonSave(extra))
        )

    def restore(
        self, abstract: TrainState, sharding: jax.sharding.Sharding, step: int | None = None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state of a step, or of the newest, on the devices of `sharding`, and the extra dictionary."""
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract)
        restored = self._manager.restore(
            self.latest_step() if step is None else step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(target), extra=ocp.args.JsonRestore()),
        )
        return restored["state"], restored["extra"]

    def wait(self) -> None:
        """Waits until what was saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the manager's threads."""
        self.wait()
        self._manager.close()
