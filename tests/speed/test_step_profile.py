"""Operations in a trace get the kinds that the compiled program's text gives them."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import hlo_kinds, step_profile
from benchmarks.step_profile import Event
from softaug_jax.augment import words
from softaug_jax.checks import UsageError

TEXT = """
HloModule jit_step, is_scheduled=true

%fused_computation (p: bf16[8,4], q: s32[8]) -> bf16[8,4] {
  %p = bf16[8,4]{1,0} parameter(0)
  %q = s32[8]{0} parameter(1)
  %add.1 = bf16[8,4]{1,0} add(%p, %p)
  ROOT %gather.1 = bf16[8,4]{1,0} gather(%add.1, %q), offset_dims={1}
}

%fused_computation.1 (p.1: bf16[8,4]) -> bf16[8,4] {
  %p.1 = bf16[8,4]{1,0} parameter(0)
  ROOT %multiply.1 = bf16[8,4]{1,0} multiply(%p.1, %p.1)
}

ENTRY %main (a: bf16[8,4], i: s32[8]) -> bf16[8,4] {
  %a = bf16[8,4]{1,0} parameter(0)
  %i = s32[8]{0} parameter(1)
  %loop_gather_fusion = bf16[8,4]{1,0} fusion(%a, %i), kind=kLoop, calls=%fused_computation
  %cudnn-conv.3 = (bf16[8,4]{1,0}, u8[0]{0}) custom-call(%a, %a), custom_call_target="__cudnn$convBackwardFilter"
  %gemm.1 = (bf16[8,4]{1,0}, u8[0]{0}) custom-call(%a, %a), custom_call_target="__cublas$lt$matmul"
  %while.2 = (s32[], bf16[8,4]{1,0}) while(%tuple), condition=%cond, body=%body
  ROOT %multiply_fusion = bf16[8,4]{1,0} fusion(%a), kind=kLoop, calls=%fused_computation.1
}
"""


def test_a_fusion_is_of_the_heaviest_kind_in_it():
    found = hlo_kinds.kinds(TEXT)
    expected = {
        "loop_gather_fusion": "gather",
        "cudnn-conv.3": "convolution",
        "gemm.1": "matrix",
        "while.2": hlo_kinds.CONTAINER,
        "multiply_fusion": "elementwise",
    }
    assert expected.items() <= found.items()


def test_random_numbers_are_told_from_a_policy_s_channels():
    """Both shift: the policies keep a pixel's channels in one integer."""

    def most(function, *arguments):
        text = jax.jit(function).lower(*arguments).compile().as_text()
        return {kind for name, kind in hlo_kinds.kinds(text).items() if "fusion" in name}

    images = jnp.ones((4, 8, 8, 3), jnp.int32)
    channels = lambda images: words.unpack(words.pack(jnp.moveaxis(images, -1, 0)).astype(jnp.uint32), 3)
    assert "random" not in most(channels, images) | most(lambda images: images.astype(jnp.uint32) >> 8, images)
    assert "random" in most(lambda key: jax.random.uniform(key, (4, 8)), jax.random.key(0))


def test_shares_are_of_the_time_outside_containers():
    events = [
        Event("jit_step", "cudnn-conv.3", 3.0),
        Event("jit_step", "while.2", 100.0),
        Event("jit_step", "multiply_fusion", 0.5),
        Event("jit_step", "multiply_fusion", 0.25),
        Event("jit_other", "what", 0.25),
    ]
    found = step_profile.summarised(events, {"jit_step": TEXT}, steps=2)
    assert found["operation_seconds_per_step"] == 2.0
    assert found["share"] == {"convolution": 0.75, "elementwise": 0.1875, "unknown": 0.0625}
    assert found["longest"][0] == {"operation": "cudnn-conv.3", "kind": "convolution", "share": 0.75}
    with pytest.raises(UsageError, match="names no HLO operation"):
        step_profile.summarised([], {"jit_step": TEXT}, steps=2)


def test_a_real_trace_names_what_took_long(tmp_path):
    a = jnp.ones((700, 700))
    function = jax.jit(lambda a: (a @ a).sum())
    jax.block_until_ready(function(a))
    with jax.profiler.trace(str(tmp_path)):
        jax.block_until_ready(function(a))
    found = step_profile.summarised(list(step_profile.events(tmp_path)), step_profile.programs(), steps=1)
    assert next(iter(found["share"])) == "matrix"


@pytest.mark.slow
def test_the_command_prints_the_shares_of_a_training_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", step_profile.NO_GRAPHS)
    out = tmp_path / "profile.json"
    words = ["--dataset=digits", "--model=resnet8", "--batch_size=16", "--cases=soft_crop"]
    assert step_profile.main([*words, f"--out={tmp_path}/trace", f"--json={out}"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert sum(summary["share"].values()) == pytest.approx(1)
    assert summary["share"]["convolution"] > 0
    assert json.loads(out.read_text())["profile"]["soft_crop"] == summary
