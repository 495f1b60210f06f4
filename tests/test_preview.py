import re

import jax
import numpy as np
import pytest

from softaug_jax import preview
from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.data.info import info
from softaug_jax.train import feed, setup, sharding
from tests.train.helpers import config

CAPTION = re.compile(r"(\d)\nv ([\d.]+)  p ([\d.]+)  w ([\d.]+)")


@pytest.mark.parametrize("loader", ["device", "tfdata"])
def test_grid_shows_training_images_with_what_the_method_makes_of_them(tmp_path, monkeypatch, loader):
    drawn = {}
    monkeypatch.setattr(
        preview.figures, "image_grid", lambda path, images, captions: drawn.update(i=images, c=captions)
    )
    chosen = config("digits_sa", "", data__loader=loader, augment__sigma=0.2)
    preview.main(chosen, str(tmp_path / "new" / "grid.png"))
    known = sources.load("digits", "train").images.astype(np.float64)
    mean = 255 * np.array(info("digits").mean)
    seen = 0
    for image, caption in zip(drawn["i"], drawn["c"], strict=True):
        _, v, p, w = CAPTION.fullmatch(caption).groups()
        np.testing.assert_allclose(float(p), 1 - 0.9 * (1 - float(v)) ** 2, atol=0.02)
        assert p == w
        if v == "1.00":  # whole: it is one of the training images
            seen += 1
            assert np.abs(known - image).max((1, 2, 3)).min() < 0.01
        else:  # uncovered pixels have the mean colour
            share = np.isclose(image, mean, atol=1e-3).all(-1).mean()
            np.testing.assert_allclose(share, 1 - float(v), atol=0.006)
    assert 0 < seen < len(drawn["c"]) == 32


def test_preview_is_the_batch_that_training_sees(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(preview.figures, "image_grid", lambda path, images, captions: drawn.update(images=images))
    chosen = config("digits_sa", "seed=7")
    preview.main(chosen, str(tmp_path / "grid.png"))
    known, about = sources.load("digits", "train"), info("digits")
    parts = setup.build(chosen)

    def step(state, batch):  # which shows what the network would see, instead of training
        return state, parts.chain.augment(batch, jax.random.fold_in(state.key, state.step), state.step).images

    source = feed.create(chosen, step, parts.chain, known, parts.schedule, sharding.over())
    _, _, images = next(iter(source.run(jax.jit(parts.initial_state)(), 0, 1)))
    seen = np.asarray(images)[:32]
    np.testing.assert_allclose(drawn["images"], 255 * (seen * about.std + about.mean), atol=0.01)


def test_the_first_images_are_drawn_as_in_the_whole_batch(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(preview.figures, "image_grid", lambda path, images, captions: drawn.update(images=images))
    parts = setup.build(config("digits_sa", "policy=trivialaugment"))
    known, key = sources.load("digits", "train"), jax.random.key(1)
    batch = {"image": known.images[:64], "label": known.labels[:64]}
    preview.draw_images(tmp_path, parts, batch, key)
    about = info("digits")
    seen = np.asarray(jax.jit(parts.chain.augment)(batch, key).images)[:32]
    np.testing.assert_allclose(drawn["images"], 255 * (seen * about.std + about.mean), atol=0.01)


def test_a_file_that_cannot_be_written_is_an_error_that_names_it():
    with pytest.raises(UsageError, match=r"/dev/null/grid.png can't be written"):
        preview.main(config("digits_sa", ""), "/dev/null/grid.png")
