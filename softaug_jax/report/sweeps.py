"""Finds among finished runs those of Figure 3: soft crops that differ in strength and curve, and their baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from softaug_jax.report.placing import trained
from softaug_jax.report.reductions import Panels, panels
from softaug_jax.report.runs import Run
from softaug_jax.report.statistics import Figure, difference, mean_and_error
from softaug_jax.run_files import Tree
from softaug_jax.softening import MODES

# What a hard crop and the soft crops that it is the baseline of differ in, beside the softening.
_FIELDS = ("crop", "sigma", "rounding", "fill", "fill_noise", "uncropped_final_epochs")
CROP = tuple(f"augment.{name}" for name in _FIELDS)
HARD = ("hard", "random_resized")  # what a baseline may have for a crop: without any it is another method
# What the points of one figure differ in.
VARIED = ("augment.sigma", "soften.k", "soften.mode")


class Sweep(NamedTuple):
    """One figure: soft crops of several strengths or curves, with the hard crop that they are compared with."""

    dataset: str
    model: str
    epochs: int
    baseline: list[Run]
    soft: list[list[Run]]  # by sigma, k and mode, the seeds of each
    smoothed: list[list[Run]]  # hard crops with label smoothing, by alpha, the seeds of each

    def panels(self) -> Panels:
        """The error reductions against the baseline, in points."""
        base = _error(self.baseline)
        return panels((_named(m[0]), difference(_error(m), base)) for m in (*self.soft, *self.smoothed))


def sweeps(runs: Sequence[Run]) -> list[Sweep]:
    """The figures that finished runs of classification give: those with a baseline and two or more soft crops.

    A baseline trains as its soft crops do but for the crop and the softening. Soft crops that differ in anything but
    sigma, k and what is softened, such as p_min, are of different figures, and so are those with each of several
    baselines, which may uncover another colour.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if not run.is_self_supervised and "top1_error" in run.results:
            config = _named(run)
            rest = {
                name: value for name, value in config.items() if name not in CROP and not name.startswith("soften.")
            }
            alike.setdefault(_key({**rest, "epochs": run.config["epochs"]}), []).append(run)
    return [sweep for members in alike.values() for sweep in _of_alike(members)]


def _of_alike(runs: Sequence[Run]) -> list[Sweep]:
    """The figures of runs that differ only by crop, softening and seed."""
    hard: dict[str, list[Run]] = {}
    smoothed: dict[str, dict[str, list[Run]]] = {}  # by what they train beside the smoothing, and by all
    families: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        config = _named(run)
        is_soft, mode = config["augment.crop"].startswith("soft"), config["soften.mode"]
        is_constant = config["soften.p_min"] == config["soften.p_max"]
        if is_soft and not (is_constant and mode != "none"):
            point = {name: config[name] for name in VARIED if mode != "none" or name != "soften.k"}
            rest = {name: value for name, value in config.items() if name not in VARIED}
            families.setdefault(_key(rest), {}).setdefault(_key(point), []).append(run)
        elif config["augment.crop"] in HARD:
            beside = _key({name: value for name, value in config.items() if not name.startswith("soften.")})
            if mode == "none":
                hard.setdefault(beside, []).append(run)
            elif is_constant and mode == "target":
                smoothed.setdefault(beside, {}).setdefault(_key(config), []).append(run)
    facts = (runs[0].config["dataset"], runs[0].config["model"]["name"], runs[0].config["epochs"])
    found = [list(points.values()) for points in families.values() if len(points) > 1]
    return [
        Sweep(*facts, baseline, soft, list(smoothed.get(beside, {}).values()))
        for soft in found
        for beside, baseline in hard.items()
    ]


def _named(run: Run) -> Tree:
    """What decides what is trained, a softening of the user's own called by its module, which then is no difference."""
    config = trained(run.config)
    if config["soften.mode"] not in MODES and "imports" in config:
        config["soften.mode"] += f" of {config.pop('imports')}"
    return config


def _error(runs: Sequence[Run]) -> Figure:
    return mean_and_error([100 * run.results["top1_error"] for run in runs])


def _key(config: Tree) -> str:
    return json.dumps(config, sort_keys=True)
