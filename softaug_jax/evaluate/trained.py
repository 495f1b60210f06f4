"""A run's network, for code of one's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from softaug_jax.checks import UsageError
from softaug_jax.own import import_for
from softaug_jax.run_files import completed, read_json
from softaug_jax.train import finished, setup, sharding
from softaug_jax.train.evaluation import jit_predict
from softaug_jax.train.workdir import Workdir


class Trained(NamedTuple):
    """A network with its parameters, on one device. `models.weights.save` writes the first two."""

    params: Any
    batch_stats: Any
    predict: Callable[[Any], jax.Array]  # images [n, H, W, C] in 0 to 255 -> logits [n, N], float32


def trained(workdir: str | Path) -> Trained:
    """The network of a workdir's newest checkpoint. One learnt without labels predicts the backbone's features.

    Raises:
      UsageError: if the workdir holds no run, no checkpoint, or none that is intact.
    """
    folder = Workdir(workdir)
    if not folder.is_run():
        raise UsageError(f"{workdir} holds no run. Name the workdir of one, in which config.json is.")
    config = ConfigDict(completed(read_json(folder.path / "config.json")))
    import_for(folder.path, config)
    parts = setup.build(config, folder.num_train())  # on which a Gaussian process's logits depend
    one_device = sharding.over(jax.local_devices()[:1])
    state = finished.restore(folder, parts, one_device)
    predict = jit_predict(parts.predict, parts.info, one_device)
    return Trained(state.params, state.batch_stats, partial(predict, state))
