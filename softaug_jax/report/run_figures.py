"""The figures of one run, drawn at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softaug_jax.report import curves
from softaug_jax.report.figures import softening_curves
from softaug_jax.report.pair_curves import pair_weights, self_supervised_curves
from softaug_jax.report.runs import Run, read
from softaug_jax.softening import HYPOTHESES


def write_run_figures(workdir: str | Path) -> list[Path]:
    """Draws what the run's files hold into figures/ in its workdir, and returns the paths.

    These are learning_curves.png, reliability.png and occlusion.png as far as they were measured, and
    softening_curves.png, or pair_weights.png of a self-supervised run, if it softens by the paper's equations.

    Raises:
      UsageError: if `workdir` holds no run.
    """
    run = read(workdir)
    folder = run.workdir / "figures"
    written = write_comparison_figures(folder, [run])
    if (curve := _softening(folder, run)) is not None:
        written.append(curve)
    return written


def _softening(folder: Path, run: Run) -> Path | None:
    """Draws the curve by which the run softens, if it does and the curve is the paper's: another one is not known."""
    if run.is_self_supervised:
        pairs = run.config["pairs"]
        if pairs["hypothesis"] not in HYPOTHESES:
            return None
        path = folder / "pair_weights.png"
        pair_weights(path, pairs["k"], pairs["p_min"], pairs["hypothesis"])
        return path
    soften = run.softening
    if soften is None:
        return None
    path = folder / "softening_curves.png"
    softening_curves(path, soften["p_min"], p_max=soften["p_max"], chosen=soften["k"])
    return path


def write_comparison_figures(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Draws the learning curves, reliability and error under occlusion of several runs, as far as measured."""
    logged = [run for run in runs if run.history]
    classifying = [run for run in logged if not run.is_self_supervised]
    in_pairs = [run for run in logged if run.is_self_supervised]
    wanted = {
        "learning_curves": (curves.learning_curves, classifying),
        "self_supervised_curves": (self_supervised_curves, in_pairs),
        "reliability": (curves.reliability, [run for run in runs if run.bins() is not None]),
        "occlusion": (curves.occlusion, [run for run in runs if run.occlusion()]),
    }
    written = []
    for name, (draw, measured) in wanted.items():
        if measured:
            draw(folder / f"{name}.png", measured)
            written.append(folder / f"{name}.png")
    return written
