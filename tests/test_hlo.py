"""Reading compiled programs: on one compiled here, and on text of the TPU compiler's kind written for the test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import hlo, model_flops
from benchmarks.tpu_chips import CHIPS, slice_of
from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.data.info import info
from softaug_jax.train import sharding

TEXT = """\
HloModule jit_step, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0:T(128)} parameter(0)
  ROOT %add.9 = f32[8]{0:T(128)} add(%p, %p), metadata={op_name="jit(step)/jvp()/add"}
}

%inner (p: f32[8]) -> f32[4,2] {
  %p = f32[8]{0:T(128)} parameter(0)
  ROOT %gather.1 = f32[4,2]{1,0:T(8,128)} gather(%p, %p), offset_dims={1}, index_vector_dim=1, slice_sizes={1,2}
}

%outer (p: f32[8]) -> f32[4,2] {
  %p = f32[8]{0:T(128)} parameter(0)
  ROOT %nested = f32[4,2]{1,0:T(8,128)} fusion(%p), kind=kCustom, calls=%inner
}

%body (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg = (s32[], f32[8]{0:T(128)}) parameter(0)
  %crop = f32[8]{0:T(128)} fusion(%arg), kind=kLoop, calls=%fused, \
metadata={op_name="jit(step)/while/body/augment/crop/select_n"}, backend_config={"estimated_cycles":"7"}
  %sum = bf16[4,2]{1,0:T(8,128)(2,1)S(1)} all-reduce(%crop), channel_id=1, to_apply=%region, \
metadata={op_name="jit(step)/while/body/transpose(jvp())/dot_general"}
  %reads = f32[4,2]{1,0:T(8,128)} fusion(%crop), kind=kCustom, calls=%outer, \
metadata={op_name="jit(step)/while/body/augment/policy/gather"}, backend_config={"integer_config":{"integer":"64"}}
  ROOT %back = (s32[], f32[8]{0:T(128)}) tuple(%arg, %crop)
}

ENTRY %main_spmd (a: f32[8]) -> f32[8] {
  %a = f32[8]{0:T(128)} parameter(0)
  %loop = (s32[], f32[8]{0:T(128)}) while(%a), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"5"},"estimated_cycles":"0"}
  %conv = f32[8]{0:T(128)} fusion(%a), kind=kOutput, calls=%fused, \
metadata={op_name="jit(step)/jvp()/conv_general_dilated"}, backend_config={"estimated_cycles":"100"}
  %start = (f32[8]{0:T(128)}, /*index=1*/f32[3]{0:T(128)S(1)}) all-reduce-start(%conv, %a), to_apply=%region
  %done = f32[8]{0:T(128)} all-reduce-done(%start)
  ROOT %update = f32[8]{0:T(128)} fusion(%done), kind=kLoop, calls=%fused, \
metadata={op_name="jit(step)/add"}, backend_config={"estimated_cycles":"9"}
}
"""


def test_cycles_are_by_part_and_those_of_a_loop_count_as_often_as_it_runs():
    found = hlo.operations(TEXT)
    assert hlo.cycles_by_part(found) == {"augmentation": 35, "forward": 100, "update": 9, "other": 0, "backward": 0}
    assert hlo.cycles_by_scope(found, "augment") == {"crop": 35, "policy": 0}


def test_gathers_cost_what_they_are_said_to_a_slice_as_the_compiler_does_not_say():
    found = hlo.operations(TEXT)
    assert {o.name: o.gathered for o in found if o.gathered} == {"reads": 4}
    counted = hlo.with_gathers(found, 2.5)
    assert hlo.cycles_by_scope(counted, "augment") == {"crop": 35, "policy": 5 * 10}
    assert hlo.cycles_by_part(counted)["forward"] == 100


def test_a_kernel_by_pallas_is_told_from_other_custom_calls():
    text = TEXT.replace(
        "%conv = f32[8]{0:T(128)} fusion(%a), kind=kOutput, calls=%fused", "%conv = f32[8] custom-call(%a)"
    )
    named = text.replace("jit(step)/jvp()/conv_general_dilated", "jit(step)/augment/pallas_call")
    assert [sum(o.is_kernel for o in hlo.operations(each)) for each in (TEXT, text, named)] == [0, 0, 1]


def test_the_gathers_of_a_program_are_found():
    images, rows = jnp.zeros((5, 4, 3)), jnp.array([1, 3])
    take = jax.jit(lambda images, rows: images[rows] + 1)
    assert sum(o.gathered for o in hlo.operations(take.lower(images, rows).compile().as_text())) == 2


def test_a_loop_runs_as_often_as_the_compiler_or_its_condition_says():
    silent = TEXT.replace('"known_trip_count":{"n":"5"},', "")
    for condition, runs in (
        ("%limit = s32[]{:T(128)} constant(6)\n  ROOT %lt = pred[] compare(%i, %limit), direction=LT", 6),
        ("ROOT %lt = pred[] compare(%i, %other), direction=LT", 1),
    ):
        text = f"%cond (i: s32[]) -> pred[] {{\n  {condition}\n}}\n\n{silent.partition(chr(10))[2]}"
        assert hlo.cycles_by_part(hlo.operations(text))["augmentation"] == 7 * runs


def test_collectives_are_counted_once_at_their_start_with_their_bytes_and_types():
    inside, outside = hlo.collectives(hlo.operations(TEXT))
    assert (inside.opcode, inside.times, inside.bytes, inside.arrays) == ("all-reduce", 5, 16, (("bf16", 16),))
    assert (outside.opcode, outside.times, outside.bytes) == ("all-reduce-start", 1, 4 * (8 + 3))


def test_operands_are_read_at_their_own_size():
    found = {o.name: o for o in hlo.operations(TEXT)}
    assert (found["start"].read, found["conv"].read, found["a"].read) == (4 * (8 + 8), 4 * 8, 0)
    assert found["crop"].read == 4 * (1 + 8)  # the whole carry of the loop


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("jit(step)/augment/draw/jit(_uniform)/mul", "augmentation"),
        ("jit(many)/while/body/input/gather", "input"),
        ("jit(step)/jvp()/reduce_sum", "forward"),
        ("jit(step)/transpose(jvp(transpose()))/conv_general_dilated", "backward"),
        ("jit(step)/add", "update"),
        ("reduce-window.2", "other"),
        ("", "other"),
    ],
)
def test_parts_are_told_by_scopes_and_by_jaxs_names(path, part):
    assert hlo.part_of(path) == part


def test_a_sum_over_eight_devices_is_one_all_reduce_of_its_bytes():
    shardings = sharding.over(jax.devices()[:8])
    total = jax.jit(lambda x: jnp.sum(x, 0), in_shardings=shardings.batch, out_shardings=shardings.replicated)
    text = total.lower(jax.ShapeDtypeStruct((16, 5, 7), jnp.float32)).compile().as_text()
    (only,) = hlo.collectives(hlo.operations(text))
    assert (only.opcode, only.bytes, only.times) == ("all-reduce", 5 * 7 * 4, 1)


def test_a_loops_sums_are_counted_each_time():
    shardings = sharding.over(jax.devices()[:8])

    def three_times(x):
        again = lambda total, _: (jnp.sum(x * jnp.mean(total), 0), None)
        return jax.lax.scan(again, jnp.sum(x, 0), length=3)[0]

    jitted = jax.jit(three_times, in_shardings=shardings.batch, out_shardings=shardings.replicated)
    text = jitted.lower(jax.ShapeDtypeStruct((16, 5), jnp.float32)).compile().as_text()
    assert sum(o.times for o in hlo.collectives(hlo.operations(text))) == 1 + 3


def test_flops_of_resnet8_are_those_of_its_layers():
    model = models.create("resnet8", num_classes=10, channels=3, dtype="float32")
    params, stats = jax.eval_shape(model.init, jax.random.key(0))
    state = type("State", (), {"params": params, "batch_stats": stats})
    conv = lambda side, channels_in, channels: 2 * side**2 * 9 * channels_in * channels
    by_hand = conv(32, 3, 16) + 2 * conv(32, 16, 16) + conv(16, 16, 32) + conv(16, 32, 32)
    by_hand += conv(8, 32, 64) + conv(8, 64, 64) + 2 * 64 * 10
    assert model_flops.forward_flops(model, state, info("cifar10"), 1) == by_hand
    assert model_flops.forward_flops(model, state, info("cifar10"), 128) == 128 * by_hand


def test_a_slice_knows_its_links_and_its_farthest_chip():
    whole, corner = slice_of("v5e:16x16"), slice_of("v5e:4x4")
    assert (whole.chips, whole.links, whole.hops) == (256, 4, 16)  # two rings of 16
    assert (corner.chips, corner.links, corner.hops) == (16, 2, 6)  # a mesh, corner to corner
    cube = slice_of("v4:4x4x4")
    assert (cube.chips, cube.links, cube.hops) == (64, 6, 6)


def test_an_all_reduce_takes_at_least_its_latency_and_its_traffic():
    four = slice_of("v5e:2x2")
    assert slice_of("v5e:1x1").all_reduce_s(1e9) == 0
    np.testing.assert_allclose(four.all_reduce_s(0), 4e-6)  # two hops there, two back
    np.testing.assert_allclose(four.all_reduce_s(1e8) - four.all_reduce_s(0), 1.5e8 / 100e9)


@pytest.mark.parametrize(("name", "units"), [("v4", 8 * 128**2), ("v5e", 4 * 128**2), ("v5p", 8 * 128**2)])
def test_clock_and_peak_rate_fit_together(name, units):
    chip = CHIPS[name]
    np.testing.assert_allclose(2 * units * chip.clock_hz, chip.peak_flops, rtol=0.01)


def test_what_is_no_slice_is_refused():
    with pytest.raises(UsageError, match="the chip 'v9' is unknown. Choose from v4, "):
        slice_of("v9:2x2")
    with pytest.raises(UsageError, match="'2xtwo' is no shape"):
        slice_of("v5e:2xtwo")
