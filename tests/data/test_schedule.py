import jax
import jax.numpy as jnp
import pytest

from softaug_jax.data.schedule import Schedule


@pytest.mark.parametrize(("n", "batch"), [(1437, 64), (50_000, 128), (7, 7), (10, 3), (8, 4)])
def test_every_step_belongs_to_the_epoch_whose_steps_it_counts_in(n, batch):
    schedule = Schedule(n, batch, epochs=5)
    bounds = [schedule.step_of_epoch(e) for e in range(6)]
    assert schedule.total_steps == bounds[-1]
    for step in range(schedule.total_steps):
        epoch = schedule.epoch_of_step(step)
        assert bounds[epoch] <= step < bounds[epoch + 1]
        # A step's first example is of its epoch, or of the end of the one before when the batch straddles.
        assert epoch * n < (step + 1) * batch
    firsts = [step for step in range(schedule.total_steps) if schedule.starts_epoch(step)]
    assert firsts == bounds[:-1]
    assert bool(jax.jit(schedule.starts_epoch)(jnp.int32(bounds[3])))


def test_whole_run_sees_every_example_of_every_epoch():
    schedule = Schedule(50_000, 128, epochs=500)
    assert schedule.total_steps * 128 - 500 * 50_000 in range(128)


@pytest.mark.parametrize("many", [1, 4, 30])
def test_dispatches_stay_within_an_epoch_and_are_of_many_steps_or_one(many):
    schedule = Schedule(1437, 64, epochs=2)  # 23 and 22 steps
    found = list(schedule.dispatches(2, 43, many))
    sizes = {1: [1] * 41, 4: [4] * 5 + [1] + [4] * 5, 30: [1] * 41}[many]
    assert [steps for _, steps in found] == sizes
    assert sum(steps for epoch, steps in found if epoch == 0) == 21
