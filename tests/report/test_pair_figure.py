"""The pairs' figure shows the source, the boxes where they are and the views; shapes that do not fit are named."""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from softaug_jax.report import pair_grid, style


def pairs(rng, count=3, size=(8, 12), channels=3):
    views = rng.uniform(0, 255, (count, 2, *size, channels)).astype(np.float32)
    return {
        "sources": rng.integers(0, 256, (count, *size, channels)).astype(np.uint8),
        "boxes_a": np.array([[0, 0, 5, 6]] * count),
        "boxes_b": np.array([[2, 3, 8, 12]] * count),
        "views": views,
        "iou": rng.uniform(size=count),
    }


def places(picture, rgb):
    """Rows and columns of the pixels of this colour in the PNG."""
    return np.argwhere(np.abs(picture[..., :3] - rgb).max(-1) < 0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_is_written_with_both_views_of_each_image(tmp_path, count, channels, rng):
    given = pairs(rng, count, channels=channels)
    path = tmp_path / "new" / "pairs.png"
    pair_grid(path, **given, weights=rng.uniform(size=count))
    picture = imread(path)
    assert np.ptp(picture[..., :3]) > 0.9
    for view in given["views"].reshape(count * 2, -1, channels):  # each view's pixels are there, in whole grey levels
        rgb = np.repeat(np.rint(view[40]), 3 // channels) / 255
        assert len(places(picture, rgb))


def test_the_boxes_are_drawn_where_they_are(tmp_path, rng):
    given = pairs(rng, 1, (10, 10))
    given["sources"][:], given["views"][:] = 255, 255
    given["boxes_a"], given["boxes_b"] = np.array([[2, 1, 6, 9]]), np.array([[4, 5, 9, 10]])
    path = tmp_path / "pairs.png"
    pair_grid(path, **given)
    picture = imread(path)
    picture = picture[:, : picture.shape[1] // 3 - 4]  # the source; the other thirds are the views with their frames
    grey = places(picture, to_rgb("#BBBBBB"))
    side = np.ptp(grey[:, 1])  # the frame's, the caption being narrower
    origin = grey.min(0)
    for which, name in enumerate(("boxes_a", "boxes_b")):
        found = places(picture, to_rgb(style.color(which)))
        corners = [*(found.min(0) - origin), *(found.max(0) - origin)]
        np.testing.assert_allclose(np.array(corners) / side * 10, given[name][0], atol=0.35)


def test_a_caption_has_the_weight_where_there_is_one(tmp_path, rng):
    given = pairs(rng)
    for name, weights in (("with", np.ones(3)), ("without", None)):
        pair_grid(tmp_path / f"{name}.png", **given, weights=weights)
    pictures = [imread(tmp_path / f"{name}.png") for name in ("with", "without")]
    assert pictures[0].shape == pictures[1].shape
    dark = [(picture[..., :3] < 0.2).all(-1).sum() for picture in pictures]
    assert dark[0] > dark[1] + 100


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("sources", (3, 8, 12), "sources have shape (3, 8, 12)"),
        ("sources", (0, 8, 12, 3), "sources have shape (0, 8, 12, 3)"),
        ("boxes_a", (3, 2), "boxes_a has shape (3, 2); with sources of shape (3, 8, 12, 3) it must be (3, 4)"),
        ("boxes_b", (2, 4), "boxes_b has shape (2, 4)"),
        ("views", (3, 8, 12, 3), "views has shape (3, 8, 12, 3)"),
        ("iou", (3, 1), "iou has shape (3, 1)"),
        ("weights", (4,), "weights has shape (4,); with sources of shape (3, 8, 12, 3) it must be (3,)"),
    ],
)
def test_wrong_shapes_are_named(tmp_path, name, shape, expected, rng):
    with pytest.raises(ValueError, match=re.escape(expected)):
        pair_grid(tmp_path / "pairs.png", **(pairs(rng) | {name: np.zeros(shape)}))
    assert not (tmp_path / "pairs.png").exists()
