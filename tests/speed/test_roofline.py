"""The convolutions that are timed are those of the step, and formulations that are compared are the same operation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import convolutions, formulations, roofline


def test_a_step_has_each_convolution_forward_and_both_gradients():
    found = convolutions.training_convolutions("resnet8", "digits", 4, "float32")
    count, flops = dict.fromkeys(convolutions.KINDS, 0), dict.fromkeys(convolutions.KINDS, 0.0)
    for convolution, times in found:
        count[convolution.kind] += times
        flops[convolution.kind] += times * convolution.flops
    assert count == {"forward": 7, "input gradient": 6, "weight gradient": 7}
    stem = 2 * 4 * 64 * 9 * 16
    others = 2 * 4 * 9 * (64 * 2 * 16 * 16 + 16 * (16 * 32 + 32 * 32) + 4 * (32 * 64 + 64 * 64))
    assert flops == {"forward": stem + others, "input gradient": others, "weight gradient": stem + others}


def test_a_convolution_that_is_run_again_is_the_same():
    found = convolutions.training_convolutions("resnet8", "digits", 4, "float32")
    strided = next(c for c, _ in found if c.kind == "forward" and c.out[1] == 4 and c.left[1] == 8)
    rng = np.random.default_rng(0)
    images, kernel = rng.normal(size=strided.left), rng.normal(size=strided.right)
    out = strided.run(jnp.asarray(images, jnp.float32), jnp.asarray(kernel, jnp.float32))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = sum(padded[:, y : y + 8 : 2, x : x + 8 : 2] @ kernel[y, x] for y in range(3) for x in range(3))
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-4)


def test_operands_of_a_shape_are_compiled_once(monkeypatch):
    monkeypatch.setattr(convolutions, "seconds_of", lambda function, *arguments: len(arguments[0]))
    found = [c for c, _ in convolutions.training_convolutions("resnet8", "digits", 4, "float32")]
    convolutions._normal.clear_cache()
    for convolution in found:
        assert convolutions.seconds(convolution, 2**20) == 1.0  # one call does as many as there are operands
    shapes = {(shape, c.dtype) for c in found for shape in (c.left, c.right)}
    assert convolutions._normal._cache_size() == len(shapes) < 2 * len(found)


def test_the_record_of_a_roofline_is_written_section_by_section(tmp_path, monkeypatch):
    def out_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(roofline, "copy_rate", lambda mib, **_: {1: 9e9, 16: 2e9}[mib])
    monkeypatch.setattr(roofline, "matrix_rate", lambda size, precision, **_: 1e12)
    monkeypatch.setattr(convolutions, "measured", out_of_memory)
    out = tmp_path / "roofline.json"
    with pytest.raises(MemoryError):
        roofline.main([f"--json={out}"])
    record = json.loads(out.read_text())
    assert set(record["matrix_flops_per_second"]) == set(roofline.PRECISIONS)
    assert "copy of 16 MiB: 2 GB/s" in roofline.table(record)


@pytest.mark.slow
def test_roofline_measures_and_writes_its_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(roofline, "CPU_MATRIX_SIZES", (32, 64))
    monkeypatch.setattr(roofline, "CPU_COPY_MIB", (1,))

    def half_a_second(function, *arguments, **_):
        jax.block_until_ready(function(*arguments))
        return 0.5

    monkeypatch.setattr(roofline, "seconds_of", half_a_second)
    monkeypatch.setattr(convolutions, "seconds_of", half_a_second)
    out = tmp_path / "roofline.json"
    assert roofline.main(["--model=resnet8", "--dataset=digits", "--batch_size=4", f"--json={out}"]) == 0
    record = json.loads(out.read_text())
    assert record["copy_bytes_per_second"] == {"1 MiB": 2 * 2**20 / 0.5}
    assert record["matrix_flops_per_second"]["float32"] == {"32": 2 * 32**3 / 0.5, "64": 2 * 64**3 / 0.5}
    found = record["convolutions"]["4"]
    assert found["seconds_per_step"] == pytest.approx(20 * 0.25)  # each program does two of one convolution
    assert found["images_per_second_at_most"] == pytest.approx(4 / 5)
    assert "convolutions alone 5000.000 ms" in capsys.readouterr().out


def test_ways_to_crop_and_to_normalise_are_the_same(tmp_path, capsys):
    out = tmp_path / "record.json"
    words = ["--only=crop,weight_gradient", "--batch_size=2", "--seconds=0", f"--json={out}"]
    assert formulations.main(words) == 0
    ways = json.loads(out.read_text())["microseconds"]
    assert set(ways["crop"]) == {"ours", "flat gather", "dynamic_slice", "one-hot", "ours, uint8"}
    assert "dynamic_slice" in capsys.readouterr().out


def test_ways_that_differ_are_not_timed(monkeypatch, capsys):
    two = lambda *_: {"ours": (lambda: jnp.ones(3), ()), "wrong": (lambda: jnp.ones(3) * 1.1, ())}
    monkeypatch.setattr(formulations, "crop_ways", two)
    assert formulations.main(["--only=crop"]) == 2
    assert "wrong differs from ours" in capsys.readouterr().err
