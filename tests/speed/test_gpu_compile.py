"""Counting kernels of a compiled program, and tracing for devices that are not here. No CUDA compiler is needed."""

import json

import jax
import pytest

from benchmarks import gpu_compile
from benchmarks.gpu_chips import GPUS
from benchmarks.programs import Program, trace
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of

TEXT = """\
HloModule jit_step, is_scheduled=true

ENTRY %main (a: f32[1024,1024]) -> f32[8] {
  %a = f32[1024,1024]{1,0} parameter(0)
  %conv = (bf16[1024,1024]{1,0}, u8[0]{0}) custom-call(%a, %a), custom_call_target="__cudnn$convForward", \
metadata={op_name="jit(step)/jvp()/conv_general_dilated"}
  %y = bf16[1024,1024]{1,0} get-tuple-element(%conv), index=0
  %sum = f32[8]{0} fusion(%y), kind=kInput, calls=%f, metadata={op_name="jit(step)/transpose(jvp())/reduce_sum"}
  ROOT %new = f32[8]{0} fusion(%sum), kind=kLoop, calls=%f, metadata={op_name="jit(step)/add"}
}
"""
MB = 2**20


@pytest.fixture
def bfloat16():
    return config_of(["--config=configs/cifar10_sa.py:model=resnet8", "--config.model.dtype=bfloat16"])


def test_kernels_and_bytes_are_by_part_and_what_launches_nothing_is_none():
    made = gpu_compile.describe(TEXT, Program(None, 1, 100, 450e9), GPUS["h100"])
    assert made["parts"] == {
        "backward": {"kernels": 1, "small": 0, "bytes": 2 * MB + 32},
        "convolution": {"kernels": 1, "small": 0, "bytes": 10 * MB},
        "update": {"kernels": 1, "small": 1, "bytes": 64},
    }
    assert made["total"] == {"kernels": 3, "small": 1, "bytes": 12 * MB + 96}
    milliseconds = made["predicted_ms"]
    assert milliseconds == pytest.approx({"bytes": 12 * MB / 3.35e9, "convolutions": 1.0, "kernels": 0.0075}, rel=1e-3)
    assert made["predicted_images_per_second"] == pytest.approx(1e5 / sum(milliseconds.values()))
    assert "in a step          3.0     1.0      12.6" in gpu_compile.table(made)


def gradients_in_float32(config, devices):
    """How many convolutions have a float32 result: the gradients by kernels, of a network in bfloat16."""
    text = trace(config, "gpu", devices, "step").lowered.as_text()
    return sum("stablehlo.convolution" in line and line.rstrip().endswith("xf32>") for line in text.splitlines())


def test_what_is_summed_across_devices_is_so_whatever_devices_are_here(bfloat16, monkeypatch):
    bfloat16.batch_size = 16
    assert gradients_in_float32(bfloat16, jax.devices()[:2]) == 7  # all of them
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert gradients_in_float32(bfloat16, jax.devices()[:2]) == 7
    assert gradients_in_float32(bfloat16, jax.devices()[:1]) == 0


def test_without_the_compiler_it_says_what_to_install():
    with pytest.raises(UsageError, match=r'No compiler for CUDA .* pip install "jax\[cuda13\]"'):
        gpu_compile.device_of(GPUS["h200"])


def test_the_record_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=false")
    monkeypatch.setattr(gpu_compile, "device_of", lambda gpu: jax.devices()[0])
    out = tmp_path / "record.json"
    words = ["--config=configs/digits_sa.py:model=resnet8", "--program=eval", f"--out={out}"]
    assert gpu_compile.main(words) == 0
    record = json.loads(out.read_text())
    assert {"command", "date", "commit", "versions", "machine", "load"} <= set(record)
    assert record["device"] == "none: compiled for h100"
    assert record["xla_flags"] == "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
