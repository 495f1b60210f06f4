"""The sections of a page that hold figures: the paper's Figures 2, 3 and 5, reliability and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softaug_jax.report import reductions
from softaug_jax.report.document import Notes, Part, Picture, Section
from softaug_jax.report.figures import softening_curves
from softaug_jax.report.run_figures import write_comparison_figures
from softaug_jax.report.runs import Run, group, labels
from softaug_jax.report.style import COLORS
from softaug_jax.report.sweeps import sweeps

PAPER_P_MIN = 0.01  # chance on CIFAR-100, of which the paper's study is
PAPER_KS = (1.0, 2.0, 3.0, 4.0)
SWEEP = "python -m benchmarks.study --list=figure3 --dataset=cifar100 --hours=24 --out=runs/study"


# By section: its title, the names of its figures' files, what each shows, and why there may be none.
COMPARED: dict[str, tuple[str, dict[str, str], str]] = {
    "figure5": (
        "Figure 5: error under occlusion",
        {
            "occlusion": "Top-1 error against the share of the image that a square hides; bars are "
            "standard errors over seeds."
        },
        "None of these runs was tested under occlusion: evals.final of their configs lacks it.",
    ),
    "reliability": (
        "Reliability diagrams",
        {
            "reliability": "Accuracy against confidence by bin, seeds pooled, and below it the share of the test "
            "images in each bin."
        },
        "None of these runs measured its calibration: evals.final of their configs lacks it.",
    ),
    "learning_curves": (
        "Learning curves",
        {
            "learning_curves": "Error and loss by epoch. The training error is that of augmented images and the "
            "training loss is what is minimised: neither compares with the test's, nor between methods.",
            "self_supervised_curves": "Nearest-neighbour error, loss and the outputs' spread by epoch. Losses compare "
            "between runs of one method and one weighting only.",
        },
        "None of these runs has logged anything.",
    ),
}
IN_THE_PAPER = {
    "figure5": "The paper's Figure 5 is of ResNet-50 on ImageNet, with 80 % hidden at 96.58 % error for Baseline and "
    "81.02 % for SA+RA.",
}


def softening(folder: Path, runs: Sequence[Run]) -> Section:
    """Figure 2, right: the curves of the paper's k and of the runs', for each p_min and p_max that the runs have."""
    ks: dict[tuple[float, float], set[float]] = {}
    for run in runs:
        soften = run.softening
        if soften and soften["p_min"] < soften["p_max"]:  # else it is label smoothing, the same whatever is visible
            ks.setdefault((soften["p_min"], soften["p_max"]), set()).add(float(soften["k"]))
    parts: list[Part] = ["Confidence by visibility, p = p_max - (p_max - p_min) (1 - v)^k (Eq. 7)."]
    if not ks:
        parts.append("None of these runs softens by Eq. 7: drawn for CIFAR-100, as in the paper.")
    for (p_min, p_max), used in sorted((ks or {(PAPER_P_MIN, 1.0): set()}).items()):
        path = folder / f"figure2-p_min{p_min:g}-p_max{p_max:g}.png"
        softening_curves(path, p_min, sorted({*PAPER_KS, *used}), p_max=p_max)
        about = f"p_min = {p_min:.3g}, p_max = {p_max:g}."
        if used:
            about += f" The runs have k = {', '.join(f'{k:g}' for k in sorted(used))}."
        parts.append(Picture(path, about, f"Softening curves. {about}"))
    return Section("figure2", "Figure 2: softening curves", parts)


def error_reduction(folder: Path, runs: Sequence[Run]) -> Section:
    """Figure 3: the error reduction over crop strength and k, where runs differ in them and their baseline is there."""
    parts: list[Part] = [
        "Top-1 error of the hard crop less that of the soft crop; higher is better. The paper's is of ResNet-18 on "
        "CIFAR-100: up to 2.5 points with target and weight softened, at k = 2 and sigma about 0.3; about 2 with the "
        "target alone, about 0.4 with hard targets, and about 1.3 by label smoothing."
    ]
    found = sweeps(runs)
    baselines = {sweep.baseline[0].workdir: sweep.baseline for sweep in found}
    names = dict(zip(baselines, labels(list(baselines.values())), strict=True)) if found else {}
    if not found:
        parts.append(
            "Not run: it takes soft crops of one data set, network and number of epochs that differ in augment.sigma, "
            f"soften.k or soften.mode, and their hard crop. To run: {SWEEP}"
        )
    for number, sweep in enumerate(found):
        images = filter(None, sweep.baseline[0].conditions[:2])
        what = ", ".join([sweep.dataset, sweep.model, f"{sweep.epochs:g} epochs", *images])
        path = folder / f"figure3-{number}-{sweep.dataset}-{sweep.model}-{sweep.epochs:g}ep.png"
        reductions.draw(path, sweep.panels())
        about = f"{what}: {len(sweep.soft)} soft crops, against {names[sweep.baseline[0].workdir]}"
        about += f" (n = {len(sweep.baseline)}); bars are standard errors over seeds."
        parts.append(Picture(path, about, f"Error reduction by crop strength. {about}"))
    return Section("figure3", "Figure 3: error reduction by crop strength and curve", parts)


def compared(folder: Path, runs: Sequence[Run]) -> list[Section]:
    """Figure 5, reliability and learning curves, as far as measured; runs of one figure differ by method and seed.

    They are not of one figure if they see other data, or as much of them, at another size, or behind other squares.
    """
    alike: dict[tuple[str, str, int, tuple[str, ...]], list[Run]] = {}
    for run in runs:
        facts = (run.config["dataset"], run.config["model"]["name"], run.config["epochs"], run.conditions)
        alike.setdefault(facts, []).append(run)
    drawn: dict[str, list[Picture]] = {}
    for (dataset, model, epochs, conditions), members in sorted(alike.items()):
        known = [words for words in conditions if words]
        for number, batch in enumerate(_batches(group(members))):
            name = "-".join([dataset, model, f"{epochs:g}ep", *(words.replace(" ", "_") for words in known)])
            name += f"-{number + 1}" if number else ""
            what = ", ".join([dataset, model, f"{epochs:g} epochs", *known, *(["further methods"] if number else [])])
            of = "; ".join(dict.fromkeys(run.label for run in batch))
            for path in write_comparison_figures(folder / name, batch):
                drawn.setdefault(path.stem, []).append(Picture(path, what, f"{what}: {of}"))
    sections = []
    for name, (title, kinds, nothing) in COMPARED.items():
        parts: list[Part] = [IN_THE_PAPER[name]] if name in IN_THE_PAPER else []
        for kind, about in kinds.items():
            parts += [about, *drawn[kind]] if kind in drawn else []
        sections.append(Section(name, title, parts if drawn.keys() & kinds.keys() else [*parts, Notes([nothing])]))
    return sections


def _batches(groups: Sequence[list[Run]]) -> list[list[Run]]:
    """Not more groups a figure than there are colours; each further figure has the first group again."""
    size = len(COLORS)
    first, rest = groups[:size], groups[size:]
    further = [[groups[0], *rest[at : at + size - 1]] for at in range(0, len(rest), size - 1)]
    return [[run for members in batch for run in members] for batch in [first, *further]]
