"""What is read from the TPU compiler's dump of a kernel's schedule, and how often its loops turn."""

import numpy as np
import pytest

from benchmarks.tpu_kernel import Schedule, cycles, schedule
from softaug_jax.augment import affine
from softaug_jax.augment.magnitudes import OPERATIONS, randaugment_space

SIZE = (224, 224)


def dump(*parts):
    """Bundles as (number, mark of the first, depth)."""
    marks = [(mark if not i else "", depth) for count, mark, depth in parts for i in range(count)]
    return "\n".join(f" {at:#6x} {mark:2}: {'>' * depth} {{ %1 = sst ;; }}" for at, (mark, depth) in enumerate(marks))


SLANTING = ((7, "LB", 1), (2, "", 0), (30, "LB", 2), (5, "PF", 1), (31, "LB", 2), (6, "PF", 1), (9, "PF", 0))


def test_the_loops_lengths_are_read_though_their_depth_is_not_marked_throughout():
    found = schedule(dump((3, "", 0), (12, "LB", 1), (4, "PF", 0), *SLANTING))
    assert found == Schedule(level=12, slanting=7 + 2 + 5 + 6, turns=(30, 31))


def test_loops_that_are_not_the_kernels_are_refused():
    for other in (SLANTING, ((3, "", 0),), ((12, "LB", 1), (4, "PF", 0)) * 2, (*SLANTING, *SLANTING)):
        with pytest.raises(ValueError, match="not as expected"):
            schedule(dump(*other))


def test_only_a_slanting_image_goes_through_rows():
    drawn = affine.coefficients(randaugment_space(31, SIZE), SIZE)
    of = Schedule(level=1_000, slanting=0, turns=(1, 0))
    taken = {name: [cycles(drawn[i, 9, sign], of) for sign in (0, 1)] for i, name in enumerate(OPERATIONS)}
    turned = {name for name, counts in taken.items() if counts != [28_000, 28_000]}
    assert turned == {"ShearY", "Rotate"}
    # Nine degrees: the 128 x 8 pixels of a block span up to 127 sin + 7 cos + 2 rows, 8 a turn, 28 blocks down.
    angle = np.radians(30 * 9 / 30)
    most = np.ceil((127 * np.sin(angle) + 7 * np.cos(angle) + 2) / 8)
    assert all(20 * most < turns <= 28 * most for turns in taken["Rotate"])
