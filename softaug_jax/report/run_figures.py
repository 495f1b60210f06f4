"""The figures of one run, drawn at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softaug_jax.data.info import info
from softaug_jax.report import curves
from softaug_jax.report.figures import softening_curves
from softaug_jax.report.runs import Run, read


def write_run_figures(workdir: str | Path) -> list[Path]:
    """Draws what the run's files hold into figures/ in its workdir, and returns the paths.

    These are learning_curves.png, reliability.png and occlusion.png as far as they were measured, and
    softening_curves.png if the run softens.

    Raises:
      UsageError: if `workdir` holds no run.
    """
    run = read(workdir)
    folder = run.workdir / "figures"
    written = write_comparison_figures(folder, [run])
    soften = run.config["soften"]
    if soften["mode"] != "none":
        p_min = 1.0 / info(run.config["dataset"]).num_classes if soften["p_min"] is None else soften["p_min"]
        path = folder / "softening_curves.png"
        softening_curves(path, p_min, p_max=soften["p_max"], chosen=soften["k"])
        written.append(path)
    return written


def write_comparison_figures(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Draws the learning curves, reliability and error under occlusion of several runs, as far as measured."""
    wanted = {
        "learning_curves": (curves.learning_curves, any(run.history for run in runs)),
        "reliability": (curves.reliability, any(run.bins() is not None for run in runs)),
        "occlusion": (curves.occlusion, any(run.occlusion() for run in runs)),
    }
    written = []
    for name, (draw, is_measured) in wanted.items():
        if is_measured:
            draw(folder / f"{name}.png", runs)
            written.append(folder / f"{name}.png")
    return written
