"""Our throughput runs from end to end at a toy size, and what it times is training. Nothing here looks at a time."""

import argparse
import json
import time
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import first_step, members, roofline, throughput, training
from benchmarks.throughput_cases import Setting, add_options, config_for, settings, to_words
from softaug_jax.checks import UsageError
from softaug_jax.data.schedule import Schedule
from softaug_jax.run_files import write_json
from softaug_jax.target import compiling_for
from softaug_jax.train import feed, sharding
from softaug_jax.train.steps import NO_STEP, StepSums

TOY = ["--dataset=digits", "--model=resnet8", "--batch_size=16"]
SETTING = Setting("resnet8", 16, "device", 1, "float32")

# Products of ResNet-8 at 8 x 8, each of which is a sum, too: stem, three stages of two convolutions, classifier.
PIXELS = 64
FORWARD = PIXELS * 9 * 1 * 16 + 2 * PIXELS * 9 * 16 * 16
FORWARD += PIXELS // 4 * 9 * (16 * 32 + 32 * 32) + PIXELS // 16 * 9 * (32 * 64 + 64 * 64) + 64 * 10


def config_of(case, setting=SETTING):
    return config_for("digits", case, setting, [])


@pytest.fixture(scope="module")
def digits():
    return training.data_of("digits", "")


def options_of(*words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


def test_cases_are_timed_beside_their_floor(tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    words = [*TOY, "--cases=constant,soft_crop", "--steps=1", "--rounds=2", f"--json={out}"]
    rounds_saved = []

    def write(path, record):
        write_json(path, record)
        cases = record["settings"][0]["cases"].values() if "settings" in record else ()
        rounds_saved.append([len(figures["images_per_second"]["rounds"]) for figures in cases])

    monkeypatch.setattr(throughput, "write_json", write)
    monkeypatch.setattr(throughput.machine, "load", iter([0.25, 9.0]).__next__)  # the second would be its own
    assert throughput.main(words) == 0
    assert rounds_saved == [[], [1, 1], [2, 2]]
    record = json.loads(out.read_text())
    assert {"command", "date", "device", "commit", "versions", "load"} <= set(record)
    assert record["load"] == 0.25
    (found,) = record["settings"]
    flops = {case: figures["training_flops_per_image"] for case, figures in found["cases"].items()}
    assert flops == dict.fromkeys(("constant", "soft_crop"), 6 * FORWARD)
    rates = {case: figures["images_per_second"]["rounds"] for case, figures in found["cases"].items()}
    assert set(rates) == {"constant", "soft_crop"} and all(len(values) == 2 for values in rates.values())
    soft = found["cases"]["soft_crop"]
    expected = np.median(np.divide(rates["soft_crop"], rates["constant"]))
    np.testing.assert_allclose(soft["cost_over_floor"], 1 / expected - 1)
    share = np.median(rates["soft_crop"]) * 6 * FORWARD / found["matrix_flops_per_second"]
    np.testing.assert_allclose(soft["share_of_matrix_rate"], share)
    assert f"{np.median(rates['soft_crop']):,.0f} images/s" in capsys.readouterr().out


def test_flops_are_of_each_case_and_what_is_done_once_a_batch_counts_once(monkeypatch):
    def untrained(config, arrays, about, constant):
        parts = training.parts_of(config, about, len(arrays.labels))
        return training.Training(parts, None, jax.eval_shape(parts.initial_state), config.batch_size)

    monkeypatch.setattr(training, "start", untrained)
    monkeypatch.setattr(training.Training, "warm_up", lambda *_: None)
    monkeypatch.setattr(training.Training, "lap", lambda run: run.parts.schedule.batch_size)
    monkeypatch.setattr(roofline, "best_matrix_rate", lambda dtype: 1e12)
    words = ["--dataset=digits", "--model=wideresnet10_1", "--batch_size=256", "--cases=constant,ddu,duq", "--rounds=1"]
    options = throughput._parser().parse_args(words)
    (found,) = throughput._cases(options, [], lambda record: None)["settings"]
    cases = found["cases"]
    assert "share_of_matrix_rate" not in cases["duq"] and "training_flops_per_image" not in cases["duq"]
    plain, ddu = (cases[case]["training_flops_per_image"] for case in ("constant", "ddu"))
    assert plain != ddu < 1.1 * plain  # its kernels are normalised once a batch: for one image that is 15 times as much
    assert cases["ddu"]["share_of_matrix_rate"] == cases["ddu"]["images_per_second"]["median"] * ddu / 1e12
    assert throughput.table({"device": "", "load": 0, "commit": "", "settings": [found]}).count("matrix rate") == 2


def test_the_floor_sees_one_batch_and_draws_nothing(digits):
    arrays, about = digits
    run = training.start(config_of("constant"), arrays, about, constant=True)
    assert [member.name for member in run.parts.chain.members] == ["normalize"]
    seen = [dict(run._feed._batch)]
    run.advance(3)
    seen.append(run._feed._batch)
    for batch in seen:
        np.testing.assert_array_equal(batch["image"], arrays.images[:16])
    assert run.step == 3 and int(run.state.step) == 3
    assert float(run.sums.examples) == 3 * 16 and run.sums.means["visibility"] == 1.0


def test_a_lap_trains_on_and_its_images_are_those_of_its_steps(digits):
    run = training.start(config_of("soft_crop"), *digits)
    run.warm_up(0.0, steps=2)
    assert run.step == 3  # one step alone and a lap
    assert run.lap() == 2 * 16
    assert run.step == 5 and int(run.state.step) == 5
    assert run.sums.means["visibility"] < 1.0


class Dispatches:
    """A feed that trains nothing, and says of how many steps each dispatch was."""

    def __init__(self, schedule, many):
        self.schedule, self.many, self.seen = schedule, many, []

    def run(self, state, start, stop):
        for _, steps in self.schedule.dispatches(start, stop, self.many):
            self.seen.append(steps)
            start += steps
            yield state, start, StepSums({"loss": np.float32(steps)}, np.float32(steps), NO_STEP)


@pytest.mark.parametrize("many", [1, 64, 390])
def test_a_lap_is_an_epoch_from_its_start_and_both_its_programs_have_run(many):
    schedule = Schedule(50_000, 128, 500)  # of 391, 391, 390 ... steps
    dispatches = Dispatches(schedule, many)
    run = training.Training(SimpleNamespace(schedule=schedule), dispatches, None, 128)
    run.warm_up(0.0)
    assert {1, many} == set(dispatches.seen)
    for epoch in range(2, 8):
        assert run.step == schedule.step_of_epoch(epoch)
        del dispatches.seen[:]
        assert run.lap() == 128 * (schedule.step_of_epoch(epoch + 1) - schedule.step_of_epoch(epoch))
        assert dispatches.seen == [many] * (390 // many) + [1] * (sum(dispatches.seen) - 390 // many * many)


@pytest.mark.slow
def test_each_member_trains_as_it_would_alone(digits):
    arrays, about = digits
    config = config_of("soft_crop")
    alone = []
    for seed in (0, 1):
        config.seed = seed
        run = training.start(config, arrays, about)
        run.advance(2)
        alone.append(run)
    for way in members.WAYS:
        together = members.start_members(config, (0, 1), arrays, about, way)
        together.advance(2)
        assert float(together.sums.examples) == 2 * 2 * 16
        for number, run in enumerate(alone):
            member = jax.tree.map(lambda leaf: leaf[number], together.state.params)  # noqa: B023
            # Two steps at a rate of 0.1 make 1e-4 of rounding; another seed's parameters are 1e-1 away.
            close = lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-3)
            jax.tree.map(close, jax.device_get(member), jax.device_get(run.state.params))
    stems = [run.state.params["stem"]["kernel"] for run in alone]
    assert np.abs(stems[0] - stems[1]).max() > 0.1


def test_parts_of_the_first_step_are_within_it():
    options = options_of(*TOY, "--cases=soft_crop")
    options.began = time.time()
    seconds = first_step.measured(options, [])
    assert set(first_step.EVENTS.values()) < set(seconds)
    assert 0 < seconds["device_seconds"] <= seconds["state_seconds"] <= seconds["first_step_seconds"]
    assert 0 < seconds["trace_seconds"] + seconds["compile_seconds"] < seconds["first_step_seconds"]


def test_options_survive_the_way_to_a_child():
    words = [*TOY, "--loader=device,tfdata", "--steps_per_dispatch=1,8", "--cases=soft_crop", "--steps=3"]
    assert options_of(*to_words(options_of(*words))) == options_of(*words)


def test_settings_are_all_combinations_but_tfdata_dispatches_step_by_step():
    options = options_of("--batch_size=8,16", "--loader=device,tfdata", "--steps_per_dispatch=2,4")
    with compiling_for("gpu", 1):
        found = [(s.batch_size, s.loader, s.steps_per_dispatch, s.dtype) for s in settings(options)]
    expected = [(b, "device", n, "bfloat16") for b in (8, 16) for n in (2, 4)]
    assert sorted(found) == sorted([*expected, (8, "tfdata", 1, "bfloat16"), (16, "tfdata", 1, "bfloat16")])


def test_a_dispatch_is_no_longer_than_an_epoch_and_the_setting_says_so():
    options = options_of("--batch_size=128,1024", "--steps_per_dispatch=64,390,1000")
    with compiling_for("gpu", 1):
        assert [(s.batch_size, s.steps_per_dispatch) for s in settings(options)] == [
            (128, 64), (128, 390), (1024, 48)
        ]  # fmt: skip
        assert [s.steps_per_dispatch for s in settings(options_of("--random=96", "--batch_size=128,16"))] == [1, 6]
        schedule = Schedule(50_000, 1024, 6)  # of 49 steps, the last of 48
        many = feed.steps_of_dispatch(0, schedule)
    whole = list(schedule.dispatches(0, schedule.total_steps, many))
    assert [steps for _, steps in whole] == [48, 1] * 5 + [48]
    for done in range(len(whole)):  # a run that goes on from any of them has those that are left
        step = sum(steps for _, steps in whole[:done])
        assert list(schedule.dispatches(step, schedule.total_steps, many)) == whole[done:]


def test_the_device_s_feed_dispatches_a_short_epoch_at_once(digits):
    class State(NamedTuple):
        step: jax.Array
        key: jax.Array

    def step(state, batch):
        count = jnp.float32(len(batch["label"]))
        return state._replace(step=state.step + 1), StepSums({"loss": count}, count, jnp.int32(NO_STEP))

    schedule = Schedule(1437, 512, 2)  # of 3 steps
    source = feed.DeviceFeed(step, digits[0], schedule, sharding.over(), 64)
    state = jax.device_put(State(jnp.int32(0), jax.random.key(0)), sharding.over().replicated)
    seen = [(done, int(state.step), float(sums.examples)) for state, done, sums in source.run(state, 0, 6)]
    assert seen == [(2, 2, 1024.0), (3, 3, 512.0), (5, 5, 1024.0), (6, 6, 512.0)]


def test_random_images_of_another_size_get_imagenet_classes_and_stem():
    arrays, about = training.data_of("cifar10", "", num_random=8, image_px=64)
    assert arrays.images.shape == (8, 64, 64, 3) and about.num_classes == 1000
    config = config_for("cifar10", "soft_crop", Setting("resnet18", 8, "device", 1, "float32"), [])
    state = jax.eval_shape(training.parts_of(config, about, 8).initial_state)
    assert state.params["stem"]["kernel"].shape == (7, 7, 3, 64)
    with pytest.raises(UsageError, match="--random"):
        training.data_of("cifar10", "", image_px=64)


def test_an_unknown_case_is_refused(capsys):
    assert throughput.main([*TOY, "--cases=softcrop"]) == 2
    assert "softcrop" in capsys.readouterr().err
