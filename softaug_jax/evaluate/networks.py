"""From a config's `runs` and `weights` to networks with their parameters, in groups that differ by seed only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from softaug_jax import models
from softaug_jax.checks import UsageError, check_choice
from softaug_jax.data.info import DatasetInfo, info
from softaug_jax.evals import Predict
from softaug_jax.models import weights
from softaug_jax.paths import local, path_of
from softaug_jax.report import runs as finished_runs
from softaug_jax.report.runs import Run
from softaug_jax.run_files import Tree, completed
from softaug_jax.train import finished, setup
from softaug_jax.train.evaluation import jit_predict
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState
from softaug_jax.train.workdir import Workdir

EXAMPLE = "--config.runs=runs/baseline,runs/sa"


class Source(NamedTuple):
    """Where a network's parameters are, and what is known of how they came about."""

    path: Path  # a workdir, or an .npz file
    config: Tree  # the run's, or of an imported network what creates it
    seed: int | None  # None: not known


class Group(NamedTuple):
    """Networks that differ by their seed only."""

    label: str
    facts: tuple[str, ...]  # config, method, data set, model, epochs
    config: ConfigDict  # the first one's, with the data as the test has it
    sources: tuple[Source, ...]

    @property
    def about(self) -> DatasetInfo:
        """Facts of the data set."""
        return info(self.config.dataset)

    @property
    def legend(self) -> str:
        """The label, with the number of networks where there are several."""
        return f"{self.label} (n = {len(self.sources)})" if len(self.sources) > 1 else self.label


class Restored(NamedTuple):
    """A network that can be tested: predict(state, images) gives logits."""

    source: Source
    predict: Predict
    state: TrainState


def find(config: Any) -> list[Group]:
    """The networks that a test's config names. Reads what runs wrote, and no parameters.

    Raises:
      UsageError: if there are none, one of them can't be tested, or they are of different data sets or image sizes.
    """
    paths = [path.strip() for path in config.runs.split(",") if path.strip()]
    if not paths and not config.weights:
        raise UsageError(
            f"There is nothing to test: name finished runs, as in {EXAMPLE}, or imported weights, as in "
            "--config.weights=resnet50.npz --config.model.name=resnet50 --config.dataset=cifar10."
        )
    if config.dataset:
        info(config.dataset)
    groups = finished_runs.group(_runs(paths, config.dataset))
    labels = finished_runs.labels(groups) if groups else []
    found = [_group(members, label, config) for members, label in zip(groups, labels, strict=True)]
    if config.weights:
        found.append(_imported(config))
    _check_one_data_set(found)
    return found


def restored(group: Group, shardings: Shardings) -> Iterator[Restored]:
    """The group's networks one after another, on the devices; all share one compiled `predict`."""
    if "epochs" not in group.config:
        yield from _loaded(group, shardings)
        return
    num_train = Workdir(group.sources[0].path).num_train()
    parts = setup.build(group.config, num_train)  # on which a Gaussian process's logits depend
    predict = jit_predict(parts.predict, parts.info, shardings)
    for source in group.sources:
        yield Restored(source, predict, finished.restore(Workdir(source.path), parts, shardings))


def _loaded(group: Group, shardings: Shardings) -> Iterator[Restored]:
    """The imported network, in a state that has never been trained here."""
    about, wanted = group.about, group.config.model
    model = models.create(
        wanted.name, num_classes=about.num_classes, channels=about.channels, dtype=wanted.dtype, stem=wanted.stem
    )
    own = lambda state, images: model.predict(state.params, state.batch_stats, images)
    predict = jit_predict(own, about, shardings)
    for source in group.sources:
        params, batch_stats = weights.load(source.path, model)
        state = TrainState(params, batch_stats, (), (), jnp.zeros((), jnp.int32), jax.random.key(0))
        yield Restored(source, predict, jax.device_put(state, shardings.replicated))


def _runs(paths: Sequence[str], dataset: str) -> list[Run]:
    """The finished classifiers in `paths`, each once; what a folder holds beside them is left out, with a word."""
    found: dict[Path, Run] = {}
    for path in paths:
        runs = finished_runs.find([path])
        is_run = (path_of(path) / "config.json").is_file()
        unfit = {str(run.workdir): reason for run in runs if (reason := _unfit(run, dataset)) is not None}
        reasons = [f"{workdir} {reason}" for workdir, reason in unfit.items()]
        if len(unfit) == len(runs):
            raise UsageError(reasons[0] if is_run else f"{path} holds no run that can be tested. {reasons[0]}")
        for reason in reasons:
            print(f"{reason} Left out.", file=sys.stderr)
        for run in runs:
            if str(run.workdir) not in unfit:
                found.setdefault(run.workdir.resolve(), run)
    return list(found.values())


def _unfit(run: Run, dataset: str) -> str | None:
    """Why a run can't be tested, as the rest of a sentence; None if it can."""
    if run.is_self_supervised:
        return "learnt without labels and is no classifier. Test runs of a config such as configs/cifar10_sa.py."
    if run.summary is None:
        return "is not finished. Give its command again to train it to the end, or leave it out."
    if dataset and run.config["dataset"] != dataset:
        return f"is of {run.config['dataset']}, not of --config.dataset={dataset}."
    return None


def _group(members: Sequence[Run], label: str, test: Any) -> Group:
    first = members[0]
    config = ConfigDict(completed(first.config))
    config.eval_batch_size = test.eval_batch_size
    config.data.download = test.data.download
    if test.data.dir:
        config.data.dir = test.data.dir
    facts = (config.name, first.label, config.dataset, config.model.name, f"{config.epochs:g}")
    sources = tuple(Source(run.workdir, run.config, run.config["seed"]) for run in members)
    return Group(label, facts, config, sources)


def _imported(test: Any) -> Group:
    """The group of the one network whose weights the config names."""
    for field in ("dataset", "model.name"):
        if not attrgetter(field)(test):
            raise UsageError(f"--config.weights={test.weights} needs --config.{field}, which the file does not hold.")
    try:
        check_choice("config.model.name", test.model.name, models.MODELS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    path = local(test.weights)
    config = ConfigDict({name: test.to_dict()[name] for name in ("dataset", "model", "data", "eval_batch_size")})
    label = f"{test.model.name}, {path.name}"
    facts = ("-", f"imported from {path.name}", test.dataset, test.model.name, "-")
    return Group(label, facts, config, (Source(path, config.to_dict(), None),))


def _check_one_data_set(groups: Sequence[Group]) -> None:
    """Raises UsageError if the groups can't be tested on one test set."""
    examples = {group.config.dataset: group.sources[0].path for group in reversed(groups)}
    if len(examples) > 1:
        named = " and ".join(f"{dataset} ({path})" for dataset, path in examples.items())
        raise UsageError(
            f"The networks are of different data sets: {named}. Test those of one in a call: name their folders only, "
            f"or choose by --config.dataset={groups[0].config.dataset}."
        )
    sizes = {_sizes(group): group.sources[0].path for group in reversed(groups)}
    if len(sizes) > 1:
        named = " and ".join(f"{size} ({path})" for size, path in sizes.items())
        raise UsageError(
            f"The networks see images of different sizes: {named}. Test those of one in a call: name their folders."
        )


def _sizes(group: Group) -> str:
    """How a group's test images are resized and cut, in the fields' words; empty for images that are kept whole."""
    data = group.config.data
    fields = ("size_px", "resize_px") if group.about.encoded else ()
    return ", ".join(f"config.data.{field} = {data[field]}" for field in fields)
