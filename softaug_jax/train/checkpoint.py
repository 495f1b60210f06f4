"""Checkpoints by Orbax: asynchronous, the last three kept, restored exactly or not at all."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from itertools import chain, count
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from softaug_jax.checks import UsageError, one_line
from softaug_jax.train import checksums, distributed, orbax_noise
from softaug_jax.train.state import TrainState

KEPT = 3
# How long one process waits for another one's part of a checkpoint. Orbax's own 20 minutes are what training would
# stand still when one process can't write. In 5 a ResNet-101 with momentum, 350 MB, is written at 1.2 MB/s.
SAVE_SECONDS = 300
CLOSE_TRIES = 5  # each may raise another error of the same failure, before it has freed all
NEEDED = ("state/_METADATA", "state/manifest.ocdbt", "extra/metadata")  # without which Orbax's errors are riddles


class Checkpoints:
    """The checkpoints of a workdir: the train state, and a small dictionary of what else must survive.

    A save that fails is told by `problems`, and the next one is tried as if nothing had been. A checkpoint that is
    damaged is told on stderr, and the newest intact one is restored.
    """

    def __init__(self, workdir: Path, read_only: bool = False):
        """Opens or makes `workdir`/checkpoints; with `read_only` nothing in it is ever changed.

        Raises:
          UsageError: if the folder can't be made.
        """
        orbax_noise.silence()
        self.folder = workdir.absolute() / "checkpoints"
        self._read_only = read_only
        self._under_way: int | None = None  # the step that is being saved
        self._problems: list[str] = []
        self._peers = distributed.peers()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=not read_only, read_only=read_only)
        if jax.process_count() > 1:
            options = dataclasses.replace(options, async_options=ocp.AsyncOptions(timeout_secs=SAVE_SECONDS))
        self._tidy()
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise UsageError(f"{self.folder} can't be used: {error.strerror or error}.") from None
        # Opened again, it must not wait for other processes: each does that when it notices that a save has failed.
        self._options = dataclasses.replace(options, create=False, save_root_metadata=False)

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState, step: int, extra: dict[str, Any]) -> None:
        """Starts saving; returns before it is written. Does nothing if the step is there already.

        Waits for the save before. A failure is not raised: see `problems`.

        Raises:
          UsageError: if there are other processes, and the save can't begin: they may have begun it.
        """
        self.wait()
        if self.latest_step() == step:
            return
        try:
            sums = {**checksums.of_arrays(state), "extra": checksums.of_json(extra)}
            items = ocp.args.Composite(
                state=ocp.args.StandardSave(state), extra=ocp.args.JsonSave(extra), checksums=ocp.args.JsonSave(sums)
            )
            self._manager.save(step, args=items, force=True)  # unforced, it may decline without a word
            self._under_way = step
        except Exception as error:  # nearly any type: OSError, ValueError, Exception itself
            if jax.process_count() > 1:
                reason = _reason(error, self.folder / str(step))
                raise UsageError(f"checkpoints/{step} in {self.folder.parent} was not saved ({reason}).") from error
            self._failed(step, error)

    def problems(self) -> list[str]:
        """What went wrong with saves since this was last asked, a sentence each. Does not wait."""
        if self._under_way is not None and not self._manager.is_saving_in_progress():
            self.wait()
        problems, self._problems = self._problems, []
        return problems

    def restore(self, abstract: TrainState, sharding: jax.sharding.Sharding) -> tuple[TrainState, dict[str, Any]]:
        """The state of the newest intact checkpoint, on the devices of `sharding`, and the extra dictionary.

        Newer ones, which are damaged, are told on stderr and kept under another name, so that their steps can be
        saved again; with `read_only` they stay as they are. One that a single process can't read is damaged for all.

        Raises:
          UsageError: if none is intact. Nothing is changed then. Or if one process can't read what the others can, and
            has noticed it when they could no longer hear of it.
        """
        self.wait()
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract)
        damaged: dict[int, str] = {}
        steps = sorted(self._manager.all_steps(), reverse=True)
        self._peers.agree(checkpoints=steps)
        for step in steps:
            restored, reason = self._tried(step, target)
            if reason:
                damaged[step] = reason
                continue
            for number, reason in damaged.items():
                self._set_aside(number, reason, step)
            self._manager.reload()
            return restored
        reasons = "; ".join(f"{step} ({reason})" for step, reason in damaged.items())
        raise UsageError(
            f"No checkpoint in {self.folder} can be restored: {reasons or 'there is none'}. Nothing there was changed. "
            "Put back a copy of one, or train from the start in another --workdir."
        )

    def wait(self) -> None:
        """Waits until what was saved is on disk, or has failed."""
        if self._under_way is None:
            return
        step, self._under_way = self._under_way, None
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            self._failed(step, error)
        self._tidy()

    def close(self) -> None:
        """Waits, and frees the manager's threads."""
        self.wait()
        self._manager.close()

    def _tried(self, step: int, target: TrainState) -> tuple[Any, str]:
        """A checkpoint's state and dictionary, or else why it is damaged: for all processes alike."""
        found = None
        for look in (self._check_files, self._read):  # in the second they wait for one another, inside Orbax
            flaw = ""
            try:
                found = look(step, target)
            except Exception as error:  # nearly any type: ValueError, JSONDecodeError, FileNotFoundError, Exception
                flaw = _reason(error, self.folder / str(step))
            if flaw := self._judged(flaw):
                return None, flaw
        return found, ""

    def _judged(self, flaw: str) -> str:
        """What is wrong with a checkpoint that each process has looked at: the first one's flaw, or nothing."""
        try:
            flaws = self._peers.exchange(flaw)
        except UsageError:
            if not flaw:
                raise
            raise UsageError(f"{self._peers.name} can't read a checkpoint in {self.folder}: {flaw}.") from None
        found = [index for index, text in enumerate(flaws) if text]
        if not found:
            return ""
        return flaws[found[0]] + ("" if len(found) == len(flaws) else f", on process {found[0]}")

    def _check_files(self, step: int, _: TrainState) -> None:
        for name in NEEDED:
            _check_file(self.folder / str(step) / name, name)

    def _read(self, step: int, target: TrainState) -> tuple[TrainState, dict[str, Any]]:
        items = {"state": ocp.args.StandardRestore(target), "extra": ocp.args.JsonRestore()}
        if (self.folder / str(step) / "checksums").exists():  # older checkpoints have none
            items["checksums"] = ocp.args.JsonRestore()
        restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        state, extra = restored["state"], restored["extra"]
        if "checksums" in items:
            found = {**checksums.of_arrays(state), "extra": checksums.of_json(extra)}
            wrong = [name for name in found if found[name] != restored["checksums"].get(name)]
            if wrong:
                more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                raise ValueError(f"{wrong[0]}{more} is not what was saved: the checksums differ")
        return state, extra

    def _set_aside(self, step: int, reason: str, intact: int) -> None:
        """Renames a damaged checkpoint and says so, once for all processes."""
        if jax.process_index() == 0:
            kept = "left as it is" if self._read_only else f"kept as checkpoints/{self._rename(step)}"
            print(
                f"warning: checkpoints/{step} is damaged ({reason}): went back to step {intact}. "
                f"The damaged one is {kept}.",
                file=sys.stderr,
            )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"checkpoints/{step} is set aside")

    def _rename(self, step: int) -> str:
        """Gives a damaged checkpoint another name, and returns it."""
        names = chain([f"{step}.damaged"], (f"{step}.damaged-{number}" for number in count(2)))
        aside = next(name for name in names if not (self.folder / name).exists())
        (self.folder / str(step)).rename(self.folder / aside)
        return aside

    def _failed(self, step: int, error: Exception) -> None:
        """Notes a failed save, and begins anew: the manager would raise the rest of its errors at the next save."""
        self._problems.append(f"checkpoints/{step} was not saved ({_reason(error, self.folder / str(step))})")
        for _ in range(CLOSE_TRIES):
            try:
                self._manager.close()
                break
            except Exception:
                continue
        self._manager = ocp.CheckpointManager(self.folder, options=self._options)

    def _tidy(self) -> None:
        """Removes what saves left that were killed or failed; it takes room. None may be under way."""
        if jax.process_index() == 0 and not self._read_only:
            for rest in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(rest, ignore_errors=True)


def _check_file(path: Path, name: str) -> None:
    """Raises ValueError if a file is missing or empty, or is not the JSON that it should be."""
    if not path.exists():
        raise ValueError(f"{name} is missing")
    content = path.read_bytes()
    if not content:
        raise ValueError(f"{name} is empty")
    if path.suffix != ".ocdbt":
        try:
            json.loads(content)
        except ValueError:
            raise ValueError(f"{name} is not the JSON that was written") from None


def _is_wait(error: BaseException) -> bool:
    """Whether an error is of waiting in vain for other processes, which may be after an error of another kind."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "DEADLINE_EXCEEDED" in str(error)


def _reason(error: BaseException, folder: Path) -> str:
    """The error's first cause on one line, with paths from `folder`."""
    while (before := error.__cause__ or (error.__context__ if _is_wait(error) else None)) is not None:
        error = before
    if _is_wait(error):
        return f"another process had not written its part after {SAVE_SECONDS} s; it says why"
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    text = " ".join(text.split()).replace(f"{folder}/", "")
    if array := re.search(r'Error reading "([^"/]+)/', text):  # TensorStore's are a paragraph
        return f"{array[1]} can't be read"
    if re.match("[A-Z_]+: Error ", text):
        text = re.split(r" \[\w+=", text)[0].rsplit(": ", 1)[-1]
    return one_line(text)
