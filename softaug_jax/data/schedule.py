"""Epochs and steps. Training reads one stream: each epoch's permutation of the whole set, one after the other.

No remainder is dropped, so every example is seen once an epoch, and a batch may hold the end of one epoch and the
start of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Schedule(NamedTuple):
    """How many steps an epoch takes, exactly."""

    num_train: int
    batch_size: int
    epochs: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.step_of_epoch(self.epochs)

    @property
    def fewest_steps(self) -> int:
        """Steps that every epoch has; some have one more. 1 where a batch is larger than the set."""
        return max(1, self.num_train // self.batch_size)

    def step_of_epoch(self, epoch: int) -> int:
        """The number of steps after which `epoch` epochs have been seen to the end."""
        return -(-epoch * self.num_train // self.batch_size)

    def epoch_of_step(self, step: int) -> int:
        """The epoch, from 0, that the step of this number belongs to."""
        epoch = step * self.batch_size // self.num_train
        return epoch if step >= self.step_of_epoch(epoch) else epoch - 1

    def dispatches(self, start: int, stop: int, many: int) -> Iterator[tuple[int, int]]:
        """Each dispatch's epoch and number of steps, from step `start` to `stop`: `many` steps, or one.

        A dispatch never crosses the start of an epoch, and the steps left over at an epoch's end are dispatched one by
        one: so the programs that run depend on the step alone, and a resumed run repeats the uninterrupted one exactly.
        """
        while start < stop:
            epoch = self.epoch_of_step(start)
            left = min(stop, self.step_of_epoch(epoch + 1)) - start
            steps = many if 1 < many <= left else 1
            yield epoch, steps
            start += steps

    def starts_epoch(self, step: Any) -> Any:
        """Whether the step of this number is an epoch's first. Also for traced steps: step * batch_size must fit."""
        return (step * self.batch_size) % self.num_train < self.batch_size
