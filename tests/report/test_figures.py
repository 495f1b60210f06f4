"""Every figure is written, is a PNG of the size asked for, and has something on it; bad input is named."""

import struct

import numpy as np
import pytest

from softaug_jax import report
from tests.report.synthetic import SOFT, make_run


def size_of(path):
    """Width and height in pixels, from the PNG's header; fails for an image of one colour."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def is_blank(path):
    from matplotlib.image import imread

    pixels = imread(path)
    return np.ptp(pixels[..., :3]) < 0.5


def test_a_run_s_figures(tmp_path):
    workdir, _ = make_run(tmp_path / "run", changes=SOFT)
    written = report.write_run_figures(workdir)
    names = ["learning_curves", "reliability", "occlusion", "softening_curves"]
    assert written == [workdir / "figures" / f"{name}.png" for name in names]
    for path in written:
        assert min(size_of(path)) > 400
        assert not is_blank(path)


def test_a_run_draws_what_it_has(tmp_path):
    workdir, _ = make_run(tmp_path / "run", finished=False)
    (workdir / "metrics.jsonl").write_text('{"step": 1, "epoch": 0.5, "split": "train", "loss": 2.3}\n')
    assert [path.name for path in report.write_run_figures(workdir)] == ["learning_curves.png"]
    (workdir / "metrics.jsonl").write_text("")
    assert report.write_run_figures(workdir) == []


def test_several_runs_in_one_figure(tmp_path):
    paths = [make_run(tmp_path / f"hard{s}", seed=s)[0] for s in range(2)]
    paths += [make_run(tmp_path / f"soft{i}", changes={**SOFT, "batch_size": i})[0] for i in range(9)]
    runs = report.find(paths)
    for draw in (report.learning_curves, report.reliability, report.occlusion):
        draw(tmp_path / "new" / "figure.png", runs)
        assert not is_blank(tmp_path / "new" / "figure.png")


def test_long_labels_are_broken_to_fit_the_figure(tmp_path):
    from matplotlib.image import imread

    sizes = {}
    for name in ("short", "a method of so many parts that " * 4):
        run = report.read(make_run(tmp_path / name, method=name)[0])
        report.reliability(tmp_path / f"{name}.png", [run])
        sizes[name] = width, _ = size_of(tmp_path / f"{name}.png")
        below_axes = imread(tmp_path / f"{name}.png")[900:, :, :3]
        assert np.ptp(below_axes) > 0.5
        assert below_axes[:, : width // 50].min() == below_axes[:, -width // 50 :].min() == 1.0
    (short, long) = sizes.values()
    assert long[0] == short[0] and long[1] > short[1] + 50


def test_without_data_there_is_no_figure(tmp_path):
    workdir, _ = make_run(tmp_path / "run", finished=False)
    (workdir / "metrics.jsonl").unlink()
    for draw in (report.learning_curves, report.reliability, report.occlusion):
        with pytest.raises(ValueError, match="No run"):
            draw(tmp_path / "figure.png", [report.read(workdir)])
    assert not (tmp_path / "figure.png").exists()


def test_softening_curves(tmp_path):
    report.softening_curves(tmp_path / "curves.png", 0.01, chosen=2.5)
    assert size_of(tmp_path / "curves.png") == (720, 580)
    assert not is_blank(tmp_path / "curves.png")


@pytest.mark.parametrize(("n", "size", "channels", "columns"), [(1, 8, 1, 8), (11, 32, 3, 4)])
def test_image_grid_keeps_the_colours(tmp_path, n, size, channels, columns):
    from matplotlib.image import imread

    images = np.full((n, size, size, channels), 300.0 if channels == 1 else 100.2)
    images[..., 0] += 100
    report.image_grid(tmp_path / "grid.png", images, [f"v 0.5{i}" for i in range(n)], columns=columns)
    width, height = size_of(tmp_path / "grid.png")
    assert width == 290 * min(n, columns)
    assert height > 290 * -(-n // columns)
    pixels = (imread(tmp_path / "grid.png")[..., :3] * 255).round().reshape(-1, 3)
    wanted = (255, 255, 255) if channels == 1 else (200, 100, 100)
    assert (pixels == wanted).all(-1).mean() > 0.5


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (3, 8, 8, 1), (0, 8, 8, 1)])
def test_image_grid_names_what_does_not_fit(tmp_path, shape):
    with pytest.raises(ValueError, match="captions"):
        report.image_grid(tmp_path / "grid.png", np.zeros(shape), ["a", "b"][: shape[0]])
    assert not (tmp_path / "grid.png").exists()


def test_matplotlib_s_global_state_is_left_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    report.softening_curves(tmp_path / "curves.png", 0.1)
    assert dict(matplotlib.rcParams) == before
