"""Rates of several programs side by side: in turn, round after round, so that what drifts drifts for all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Lap = Callable[[], int]  # does a round's work, waits for its end and returns how many images that were


def measure(
    laps: Mapping[str, Lap], rounds: int, seen: Callable[[dict[str, list[float]]], None] = lambda rates: None
) -> dict[str, list[float]]:
    """Images per second of each, one value a round; the order turns round from one round to the next.

    Whatever a lap does only once (compiling, filling a queue) must have been done before. `seen` gets the rates so far
    after each round.
    """
    rates: dict[str, list[float]] = {name: [] for name in laps}
    for number in range(rounds):
        for name in in_turn(list(laps), number):
            start = time.perf_counter()
            images = laps[name]()
            rates[name].append(images / (time.perf_counter() - start))
        seen(rates)
    return rates


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """The order of round `number`: forwards, backwards, forwards ..."""
    return list(names) if number % 2 == 0 else list(reversed(names))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """One rate to another, round by round: the median, and how far the rounds lie apart."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Values with their median, smallest and largest."""
    return {"rounds": list(values), "median": statistics.median(values), "min": min(values), "max": max(values)}
