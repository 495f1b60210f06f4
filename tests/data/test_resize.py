"""The filter in C against one in NumPy and against Pillow, and what happens without a compiler."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from softaug_jax.data import resize
from tests.data.made_images import pixels


@pytest.fixture(autouse=True)
def _needs_a_compiler():
    if resize.compiled() is None:
        pytest.skip("there is no compiler")


def triangle(start, stop, length, count):
    """Shares of source pixels in output pixels: a triangle, never narrower than two source pixels; [count, length]."""
    step = (stop - start) / count
    centers = start + (np.arange(count) + 0.5) * step
    distance = np.abs(np.arange(length) + 0.5 - centers[:, None]) / max(step, 1)
    shares = np.maximum(1 - distance, 0)
    return shares / shares.sum(1, keepdims=True)


def by_hand(image, edges, shape):
    y0, x0, y1, x1 = edges
    rows, columns = triangle(y0, y1, image.shape[0], shape[0]), triangle(x0, x1, image.shape[1], shape[1])
    return np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns)


@hypothesis.given(st.tuples(*[st.integers(1, 70)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(0, 2**32 - 1))
def test_any_box_to_any_size(size, shape, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    low = rng.uniform(0, 0.9, 2)
    high = low + rng.uniform(0.01, 1, 2) * (1 - low)
    edges = (*(low * size), *(high * size))
    out = np.empty((*shape, 3), np.uint8)
    resize.resize(image, edges, out)
    assert np.abs(out - by_hand(image, edges, shape)).max() <= 0.501
    picture = Image.fromarray(image).resize(
        shape[::-1], Image.Resampling.BILINEAR, box=tuple(np.array(edges)[[1, 0, 3, 2]])
    )
    assert np.abs(out.astype(int) - np.asarray(picture)).max() <= 1


@pytest.mark.parametrize("size", [(30, 40), (7, 9)])
def test_the_same_size_changes_nothing(size, rng):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    out = np.zeros_like(image)
    resize.resize(image, (0.0, 0.0, *map(float, size)), out)
    np.testing.assert_array_equal(out, image)


def test_extremes_of_the_scale(rng):
    image = rng.integers(0, 256, (500, 400, 3), dtype=np.uint8)
    one = np.empty((1, 1, 3), np.uint8)
    resize.resize(image, (0.0, 0.0, 500.0, 400.0), one)
    assert np.abs(one[0, 0] - by_hand(image, (0, 0, 500, 400), (1, 1))[0, 0]).max() <= 0.501
    large = np.empty((300, 300, 3), np.uint8)
    resize.resize(image, (499.6, 0.0, 500.0, 1e-3), large)
    assert np.abs(large - image[499, 0].astype(int)).max() == 0
    white = np.full((91, 77, 3), 255, np.uint8)
    out = np.zeros((33, 65, 3), np.uint8)
    resize.resize(white, (0.0, 0.0, 91.0, 77.0), out)
    assert (out == 255).all()


def test_only_the_part_is_written(rng):
    image = pixels(rng, 50, 60)
    batch = np.full((2, 20, 24, 3), 7, np.uint8)
    resize.resize(image, (1.0, 2.0, 44.0, 55.0), batch[1, 3:15, 5:20])
    alone = np.empty((12, 15, 3), np.uint8)
    resize.resize(image, (1.0, 2.0, 44.0, 55.0), alone)
    np.testing.assert_array_equal(batch[1, 3:15, 5:20], alone)
    batch[1, 3:15, 5:20] = 7
    assert (batch == 7).all()


def test_plain_and_tuned_instructions_give_the_same_bits(rng, monkeypatch):
    image, tuned, plain = pixels(rng, 211, 173), np.empty((99, 98, 3), np.uint8), np.empty((99, 98, 3), np.uint8)
    edges = (0.3, 4.7, 207.1, 166.6)
    resize.resize(image, edges, tuned)
    monkeypatch.setattr(resize, "TUNED", "-O1")
    function = resize._compiled.__wrapped__()
    monkeypatch.setattr(resize, "compiled", lambda: function)
    resize.resize(image, edges, plain)
    np.testing.assert_array_equal(tuned, plain)


@pytest.mark.parametrize("compiler", ["/does/not/exist", "false", "true"])
def test_a_compiler_that_does_not_work_is_done_without(compiler, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    assert resize._compiled.__wrapped__() is None


def test_without_any_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    assert resize._compiled.__wrapped__() is None


def test_threads_that_ask_at_once_compile_once(monkeypatch):
    made = []
    slow = functools.cache(lambda: (made.append(time.sleep(0.05)), "function")[1])
    monkeypatch.setattr(resize, "_compiled", slow)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(resize.compiled) for _ in range(4)]
    assert [future.result() for future in found] == ["function"] * 4 and len(made) == 1
