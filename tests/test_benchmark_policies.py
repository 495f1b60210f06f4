"""The policies' benchmark runs from end to end at a toy size, and what it compares is the same work."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import policies
from softaug_jax.augment import TrivialAugment

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_each_is_measured_and_recorded(tmp_path):
    out = tmp_path / "record.json"
    command = ["-m", "benchmarks.policies", "--images=128", "--rounds=1", "--seconds=0.01", f"--json={out}"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    rates = record["images_per_second"]
    assert set(rates) >= {f"{name} {way}" for name in ("RandAugment", "TrivialAugment") for way in ("ours", "switch")}
    assert set(record["ratio_ours_to"]) == {name for name in rates if not name.endswith("ours")}
    for name, ratio in record["ratio_ours_to"].items():
        assert ratio == rates[f"{name.split()[0]} ours"][0] / rates[name][0]
        assert f"{ratio:.1f} x" in done.stdout
    assert {"command", "date", "commit", "versions", "machine"} <= set(record)


def test_a_branch_an_operation_gives_the_same_images(rng):
    images = rng.integers(0, 256, (128, 12, 10, 3), dtype=np.uint8)
    ours, switched = (way(TrivialAugment(), images) for way in (policies.ours, policies.switched))
    np.testing.assert_array_equal(next(ours), next(switched))
