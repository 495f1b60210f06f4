"""Reads what runs left in their workdirs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.data.info import info
from softaug_jax.metrics import BIN_NAMES
from softaug_jax.own import import_for
from softaug_jax.paths import path_of
from softaug_jax.run_files import DATA_FIELDS, Tree, read_history, read_json, settings
from softaug_jax.softening import MODES

WITHIN_A_GROUP = ("seed", "checkpoint_every_epochs", *DATA_FIELDS)  # what runs of one group may differ in
OCCLUSION = "occlusion/top1_error@"
SEARCH_DEPTH = 6  # runs/tables/cifar10/resnet18/sa/seed0, from runs or above it


class Run(NamedTuple):
    """One run. Figures are as the run wrote them: fractions, not percentages."""

    workdir: Path
    config: Tree
    history: list[Tree]  # one row a logged step and split, by step
    summary: Tree | None  # None: not finished

    def rows(self, split: str) -> list[Tree]:
        """The history of one split, "train" or "test"."""
        return [row for row in self.history if row["split"] == split]

    @property
    def results(self) -> Tree:
        """The newest figures on the test set: the summary's, or while the run lasts its last evaluation's."""
        if self.summary is not None:
            return self.summary
        tests = self.rows("test")
        return tests[-1] if tests else {}

    @property
    def label(self) -> str:
        """Short words for the method: the summary's, or while the run lasts the config's name."""
        return self.config["name"] if self.summary is None else self.summary["method"]

    @property
    def is_self_supervised(self) -> bool:
        """Whether it learnt from pairs of views, without labels."""
        return "pairs" in self.config

    @property
    def softening(self) -> Tree | None:
        """The config's `soften`, with a number for p_min; None if the run does not soften labels by Eq. 7."""
        if self.is_self_supervised or self.config["soften"]["mode"] not in MODES[1:]:
            return None
        soften = dict(self.config["soften"])
        if soften["p_min"] is None:
            soften["p_min"] = 1 / info(self.config["dataset"]).num_classes
        return soften

    @property
    def settings(self) -> Tree:
        """The config, flat, with dotted names, without what may differ within a group of seeds."""
        return {name: value for name, value in settings(self.config).items() if name not in WITHIN_A_GROUP}

    @property
    def conditions(self) -> tuple[str, str, str]:
        """What else figures depend on, whatever the method: how many images, their size, and what occludes them.

        In words; empty where the config has nothing of the kind, and for all images and the mean colour.
        """
        own = settings(self.config)
        few, size, fill = own["data.images_per_class"], own.get("data.size_px"), own.get("evals.occlusion_fill", "mean")
        return (
            f"{few} images of each class" if few else "",
            f"{size} px of {own.get('data.resize_px')}" if size else "",
            f"{fill} squares" if fill != "mean" else "",
        )

    def occlusion(self) -> dict[float, float]:
        """Top-1 error by occluded share of the image, both in [0, 1]; empty if it was not measured."""
        found = {name.removeprefix(OCCLUSION): value for name, value in self.results.items() if OCCLUSION in name}
        return dict(sorted((float(share.rstrip("%")) / 100, error) for share, error in found.items()))

    def bins(self) -> np.ndarray | None:
        """Counts, confidence sums and accuracy sums by bin, [3, num_bins]; None if they were not measured."""
        if any(name not in self.results for name in BIN_NAMES):
            return None
        return np.array([self.results[name] for name in BIN_NAMES], float)


def read(workdir: str | Path) -> Run:
    """Reads one run; a run that still goes on has no summary.

    Raises:
      UsageError: if `workdir` holds no run, a file of it is damaged, or its module is not to be imported.
    """
    workdir = path_of(workdir)
    if not (workdir / "config.json").is_file():
        raise UsageError(f"{workdir} is not the workdir of a run: it has no config.json.")
    summary, config = workdir / "summary.json", read_json(workdir / "config.json")
    import_for(workdir, config)
    return Run(
        workdir=workdir,
        config=config,
        history=read_history(workdir / "metrics.jsonl"),
        summary=read_json(summary) if summary.exists() else None,
    )


def find(paths: Iterable[str | Path]) -> list[Run]:
    """Reads the runs in `paths`, each a workdir or a folder that holds workdirs; each run once.

    Raises:
      UsageError: if a path does not exist, can't be read or holds no run.
    """
    found: dict[Path, Run] = {}
    for path in map(path_of, paths):
        try:
            if not path.is_dir():
                raise UsageError(f"{path} is not a folder.")
            workdirs = _workdirs(path, SEARCH_DEPTH)
        except OSError as error:
            raise UsageError(f"{path} can't be read: {error.strerror}.") from None
        if not workdirs:
            raise UsageError(f"{path} holds no run: there is no config.json in it or in the folders below.")
        for workdir in workdirs:
            found.setdefault(workdir.resolve(), read(workdir))
    return list(found.values())


def group(runs: Sequence[Run]) -> list[list[Run]]:
    """Puts runs together that differ only by their seed; groups and runs stay in the order they came in."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    return list(groups.values())


def labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A short label for each group: of its method, data, model, epochs and conditions, what is not the same for all.

    Groups that are alike in these have the end of their first path, as long as it takes to tell them apart.
    """
    firsts = [members[0] for members in groups]
    facts = [
        [run.label for run in firsts],
        [run.config["dataset"] for run in firsts],
        [run.config["model"]["name"] for run in firsts],
        [f"{run.config['epochs']} epochs" for run in firsts],
    ]
    conditions = [list(values) for values in zip(*(run.conditions for run in firsts), strict=True)]
    varying = lambda them: [values for values in them if len(set(values)) > 1]
    shown = (varying(facts) or facts[:1]) + varying(conditions)
    plain = [", ".join(filter(None, words)) for words in zip(*shown, strict=True)]
    result, depth = plain, 0
    while len(set(result)) < len(result) and depth < max(len(run.workdir.parts) for run in firsts):
        depth += 1
        ends = ["/".join(run.workdir.parts[-depth:]) for run in firsts]
        result = [f"{label} ({end})" for label, end in zip(plain, ends, strict=True)]
    return result


def legend(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The labels, with the number of runs where there are several."""
    return [
        f"{label} (n = {len(members)})" if len(members) > 1 else label
        for label, members in zip(labels(groups), groups, strict=True)
    ]


def _workdirs(path: Path, depth: int) -> list[Path]:
    if (path / "config.json").is_file():
        return [path]
    if depth == 0:
        return []
    children = [child for child in sorted(path.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    return [workdir for child in children for workdir in _workdirs(child, depth - 1)]
