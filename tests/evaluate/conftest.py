"""Two short runs on the digits that differ by seed, made once."""

import json

import jax
import pytest

from softaug_jax.train import loop, sharding
from tests.train.helpers import config

FINAL = ("classification", "occlusion")


@pytest.fixture(scope="package")
def finished(tmp_path_factory):
    """A folder with two finished runs, of which the second was made before `model.norm_group` was a field."""
    folder = tmp_path_factory.mktemp("runs")
    over = sharding.over
    with pytest.MonkeyPatch.context() as patch:  # eight virtual devices take longer than one
        patch.setattr(loop.sharding, "over", lambda devices=None: over(jax.devices()[:1]))
        for seed in (0, 1):
            chosen = config("digits_baseline", f"model=resnet8,epochs=1,seed={seed}", evals__final=FINAL)
            loop.run(chosen, folder / f"seed{seed}")
    path = folder / "seed1" / "config.json"
    older = json.loads(path.read_text())
    del older["model"]["norm_group"]
    path.write_text(json.dumps(older))
    return folder
