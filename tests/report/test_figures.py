"""Every figure is written, is a PNG of the size asked for, and has something on it; bad input is named."""

import json
import struct
from math import sqrt

import numpy as np
import pytest

from softaug_jax import report
from softaug_jax.report import curves, page_figures
from softaug_jax.report.style import drawing
from tests.report.synthetic import SOFT, make_run


def size_of(path):
    """Width and height in pixels, from the PNG's header; fails for an image of one colour."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def is_blank(path):
    """Whether nothing is drawn, or axes alone: data are in colour."""
    from matplotlib.image import imread

    return np.ptp(imread(path)[..., :3], axis=-1).max() < 0.3


def test_empty_axes_are_blank(tmp_path):
    with drawing(tmp_path / "axes.png", 4, 3) as (_, (axes,)):
        axes.set(xlabel="Epoch")
    assert is_blank(tmp_path / "axes.png")


def bars_of(line):
    """Half the length of each bar that an errorbar has."""
    (bars,) = line.lines[2]
    return [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments() if len(segment)]


def test_learning_curves_show_what_was_logged_to_its_end(tmp_path, drawn):
    runs = [report.read(make_run(tmp_path / f"{seed}", seed=seed)[0]) for seed in range(9)]
    failed, _ = make_run(tmp_path / "failed", changes=SOFT, top1_error=0.9)
    rows = [json.loads(line) for line in (failed / "metrics.jsonl").read_text().splitlines()]
    (failed / "metrics.jsonl").write_text("".join(json.dumps({**row, "loss": 70, "nll": 80}) + "\n" for row in rows))
    runs.append(report.read(failed))
    errors, losses = drawn(curves, report.learning_curves, tmp_path / "figure.png", runs)
    for axes, scale, names in ((errors, 100, ["top1_error"] * 2), (losses, 1, ["loss", "nll"])):
        wanted = [
            [(row["epoch"], scale * row[name]) for row in run.rows(split)]
            for run in runs
            for split, name in zip(("train", "test"), names, strict=True)
        ]
        lines = axes.get_lines()
        np.testing.assert_allclose([line.get_xydata() for line in lines], wanted)
        assert all(line.get_ydata()[2:].max() < axes.get_ylim()[1] for line in lines)
    assert len({line.get_color() for line in errors.get_lines()}) == 2


def test_a_start_that_is_far_above_the_rest_is_cut(tmp_path, drawn):
    workdir, _ = make_run(tmp_path / "run")
    row = {"split": "test", "top1_error": 0.1}
    rows = [{**row, "step": e, "epoch": e, "nll": 500 if e == 1 else 2} for e in range(1, 21)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, losses = drawn(curves, report.learning_curves, tmp_path / "figure.png", [report.read(workdir)])
    assert losses.get_ylim() == (0, pytest.approx(4.2))


def test_a_reliability_diagram_s_bars_are_of_the_test_images_whatever_the_seeds(tmp_path, drawn):
    bins = np.array([[40.0, 0, 60], [10, 0, 54], [16, 0, 45]])
    lines = [curves.ReliabilityLine("one", bins), curves.ReliabilityLine("four", 4 * bins, runs=4)]
    upper, lower = drawn(curves, curves.reliability_diagram, tmp_path / "figure.png", lines)
    bars = [[sqrt(p * (1 - p) / n) for p, n in ((17 / 42, 42), (46 / 62, 62))]] * 2
    for line, bar in zip(upper.containers, bars, strict=True):
        np.testing.assert_allclose(line.lines[0].get_xydata(), [[0.25, 0.4], [0.9, 0.75]])
        np.testing.assert_allclose(bars_of(line), bar)
    np.testing.assert_allclose([[bar.get_height() for bar in each] for each in lower.containers], [[40, 0, 60]] * 2)


def test_errors_under_occlusion_are_drawn_whole(tmp_path, drawn):
    errors = {share / 10: (0.05, None) for share in range(10)} | {1.0: (0.9, 0.01)}
    lines = [curves.OcclusionLine("a", errors), curves.OcclusionLine("b", {0.5: (0.4, None)}, {0.5: 0.03})]
    (axes,) = drawn(curves, curves.occlusion_lines, tmp_path / "figure.png", {"": lines})
    first, second = axes.containers
    np.testing.assert_allclose(first.lines[0].get_ydata(), [5] * 10 + [90])
    np.testing.assert_allclose(bars_of(first), [1])
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[50, 40]])
    assert axes.get_ylim()[0] == 0 and 91 < axes.get_ylim()[1] < 100
    (band,) = (each for each in axes.collections if each.get_alpha() == 0.25)
    spread = band.get_paths()[0].vertices[:, 1]
    assert (spread.min(), spread.max()) == (pytest.approx(37), pytest.approx(43))


def test_a_run_s_figures(tmp_path):
    workdir, _ = make_run(tmp_path / "run", changes=SOFT)
    written = report.write_run_figures(workdir)
    names = ["learning_curves", "reliability", "occlusion", "softening_curves"]
    assert written == [workdir / "figures" / f"{name}.png" for name in names]
    for path in written:
        assert min(size_of(path)) > 400
        assert not is_blank(path)


def test_a_softening_of_ones_own_is_not_drawn_as_the_papers(tmp_path):
    own = {"mode": "cosine", "k": 2.0, "p_min": None, "p_max": 1.0}
    workdir, _ = make_run(tmp_path / "run", changes={**SOFT, "soften": own})
    assert "softening_curves" not in [path.stem for path in report.write_run_figures(workdir)]
    (note, *_) = page_figures.softening(tmp_path, report.find([workdir])).parts[1:]
    assert note == "None of these runs softens by Eq. 7: drawn for CIFAR-100, as in the paper."


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
