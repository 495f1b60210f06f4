"""How fast a training is said to go, and what signals do to it."""

import signal
from types import SimpleNamespace
from unittest import mock

import jax
import numpy as np
import pytest

from softaug_jax.train import progress
from softaug_jax.train.progress import StopRequest, Stopwatch
from softaug_jax.train.steps import NO_STEP, StepSums
from softaug_jax.train.training import Training

BATCH, RATE, COMPILING = 10, 100.0, 30.0  # images, images/s, seconds


class Machine:
    """A clock, and a device that trains RATE images a second, as they come; a dispatch of a new length compiles."""

    def __init__(self):
        self.now, self._free, self._compiled = 1000.0, 0.0, set()

    def run(self, lengths):
        """What a feed's `run` yields, for dispatches of so many steps."""

        def dispatches(state, start, stop):
            for steps in lengths:
                if steps not in self._compiled:
                    self._compiled.add(steps)
                    self.now += COMPILING
                self._free = max(self._free, self.now) + steps * BATCH / RATE
                start += steps
                yield state, start, StepSums({"loss": np.float64(self._free)}, np.float64(1), NO_STEP)

        return dispatches

    def wait(self, sums):
        """In place of jax.device_get: until the dispatch is done."""
        self.now = max(self.now, sums.totals["loss"])
        return sums


def test_what_compiles_is_left_out_of_the_rate_whatever_its_length(monkeypatch):
    machine, training = Machine(), object.__new__(Training)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(jax, "device_get", machine.wait)
    training.state, training.step, training.watch, training.progress = None, 0, Stopwatch(), mock.Mock()
    training.schedule, training.learning_rate = SimpleNamespace(batch_size=BATCH), lambda step: 0.1
    rates = []
    for lengths in ([4] * 20 + [1] * 3, [4] * 3, [3, 4, 3, 1], [5]):
        training.feed = SimpleNamespace(run=machine.run(lengths))
        rates.append(training.train_until(training.step + sum(lengths), StopRequest()).get("examples_per_second"))
        machine.now += 7.0  # an evaluation
    # The last epoch only compiled; nothing is said of it.
    assert rates == [pytest.approx(RATE), pytest.approx(RATE), pytest.approx(RATE), None]
    assert training.watch.rate == pytest.approx(RATE)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_ends_at_once(second):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest() as stop:
        assert not stop.reached(1)
        signal.raise_signal(signal.SIGTERM)
        assert stop.reached(2) and stop.reason == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
        assert stop.reason == "SIGTERM"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
