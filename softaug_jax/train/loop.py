"""What main.py does with a config and a workdir: trains, goes on, or evaluates what is there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from softaug_jax.checks import UsageError
from softaug_jax.run_files import write_json
from softaug_jax.tasks import task_of
from softaug_jax.train import distributed, feed, finished, setup, sharding, shared
from softaug_jax.train.evaluation import Evaluation, load
from softaug_jax.train.progress import in_words
from softaug_jax.train.summary import describe
from softaug_jax.train.training import Training
from softaug_jax.train.validate import check_train, validate
from softaug_jax.train.workdir import Workdir, warn

EVAL_FIELDS = ("evals.", "eval_batch_size", "eval_every_epochs")  # may differ when a finished run is evaluated


def run(
    config: Any, workdir: str | Path, mode: str = "train", typed: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Trains `config` in `workdir`, going on where an earlier run stopped; or, with mode "eval", evaluates it.

    Of the fields in `typed`, which options have set, those are told that change nothing.

    Returns:
      The summary (mode "eval": the figures), or None if the run was asked to stop before its end.

    Raises:
      UsageError: if the config, the data or the workdir can't be used.
      NonFiniteLoss: if loss, gradient or parameters become NaN or infinite. The checkpoints are those from before.
    """
    peers = distributed.peers()
    # The batch is a training's: to evaluate, no number of devices has to divide it.
    validate(config, 1 if mode == "eval" else jax.device_count(), typed)
    if mode == "eval":
        return evaluate(config, workdir)
    folder = Workdir(workdir)
    folder.check(config)
    summary = folder.summary()
    peers.agree(**shared.program(config), finished=summary is not None)
    if summary is not None:
        if peers.is_first:
            print(f"{folder.path} is finished after {summary['steps']} steps. {in_words(summary)}".rstrip())
        return summary
    if peers.is_first and (lacking := task_of(config).headline) not in config.evals.final:
        warn(f"config.evals.final has no {lacking!r}: the summary will have no top1_error, which tables compare")
    train, test = load(config, "train"), load(config, "test")
    check_train(config, train.labels)
    feed.check(config)
    train_digest = shared.digest(train)
    peers.agree(train=train_digest, test=shared.digest(test))
    if peers.is_first:
        folder.claim(config)  # after the data, so that a set that is missing leaves no folder behind
    peers.first_says("claimed")
    shared.wait_until_seen(folder)
    try:
        return Training(config, folder, train, test, train_digest).run()
    except Exception:  # such as one of the user's own module
        if peers.is_first:
            folder.release()
        raise


def evaluate(config: Any, workdir: str | Path) -> dict[str, Any]:
    """Runs the final evaluators on the workdir's newest checkpoint; prints the figures and writes eval.json.

    Raises:
      UsageError: if the workdir holds no such run, or, once the figures are printed, if eval.json can't be written.
    """
    folder = Workdir(workdir)
    peers = distributed.peers()
    if not folder.is_run():
        raise UsageError(f"--workdir={workdir} holds no run. Train there first, or name the folder of a run.")
    folder.check(config, ignore=EVAL_FIELDS)
    finished.check_saved(folder)
    test = load(config, "test")
    num_train = folder.num_train()
    peers.agree(**shared.program(config), test=shared.digest(test), num_train=num_train)
    parts, shardings = setup.build(config, num_train), sharding.over()
    state = finished.restore(folder, parts, shardings)
    evaluation = Evaluation(config, parts, test, partial(load, config, "train"), shardings)
    figures = evaluation.run(config.evals.final, state)
    figures = {"steps": int(state.step), **figures}
    if peers.is_first:
        print(describe(figures), flush=True)
        try:
            write_json(folder.path / "eval.json", figures)
        except OSError as error:
            raise UsageError(
                f"{folder.path}/eval.json can't be written: {error.strerror}. The figures are those printed above."
            ) from None
    return figures
