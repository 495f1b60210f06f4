"""Programs are timed in turn, and their rates and ratios are what a clock says."""

import numpy as np

from benchmarks import rounds


def test_rates_are_images_over_the_clock_and_the_order_turns_round(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def lap(name, seconds, images):
        def run():
            order.append(name)
            now[0] += seconds
            return images

        return run

    rates = rounds.measure({"slow": lap("slow", 4.0, 8), "fast": lap("fast", 0.5, 10)}, rounds=3)
    assert order == ["slow", "fast", "fast", "slow", "slow", "fast"]
    np.testing.assert_allclose(rates["slow"], [2.0] * 3)
    np.testing.assert_allclose(rates["fast"], [20.0] * 3)


def test_a_ratio_is_of_the_same_round():
    found = rounds.ratios([2.0, 9.0, 8.0], [1.0, 3.0, 2.0])
    assert found == {"rounds": [2.0, 3.0, 4.0], "median": 3.0, "min": 2.0, "max": 4.0}
