"""Tests of finished runs and of imported weights, under occlusion and for calibration.

A config that has `runs` describes one (configs/occlusion.py, configs/calibration.py); main.py runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from softaug_jax.checks import UsageError, check_choice, check_scalar, is_seed
from softaug_jax.evaluate import calibration, networks, occlusion
from softaug_jax.evaluate.results import Results
from softaug_jax.evaluate.trained import Trained, trained
from softaug_jax.train import sharding

__all__ = ["TESTS", "Trained", "run", "trained"]
TESTS = {"occlusion": occlusion, "calibration": calibration}


def run(config: Any, workdir: str | Path) -> None:
    """Tests what the config names, prints tables, and writes them, figures and a record a network into `workdir`.

    Raises:
      UsageError: if the config, a run, the weights, the data or the workdir can't be used. Nothing is tested then.
    """
    if jax.process_count() > 1:
        raise UsageError("Finished runs are tested by one process, over all of its devices: start the command once.")
    try:
        check_choice("config.test", config.test, TESTS)
        is_seed("config.seed", config.seed)
        check_scalar("config.eval_batch_size", config.eval_batch_size, at_least=1)
        test = TESTS[config.test]
        test.check(config)
    except ValueError as error:  # from the shared checks
        raise UsageError(str(error)) from None
    groups = networks.find(config)
    test.run(config, groups, Results(workdir, config), sharding.over())
