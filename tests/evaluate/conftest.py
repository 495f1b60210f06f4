"""Two short runs on the digits that differ by seed, made once."""

import json

import pytest

from softaug_jax.train import loop
from tests.train.helpers import config, on_one_device

FINAL = ("classification", "occlusion")


@pytest.fixture(scope="package")
def finished(tmp_path_factory):
    """A folder with two finished runs, of which the second was made before `model.norm_group` was a field."""
    folder = tmp_path_factory.mktemp("runs")
    with on_one_device():
        for seed in (0, 1):
            chosen = config("digits_baseline", f"model=resnet8,epochs=1,seed={seed}", evals__final=FINAL)
            loop.run(chosen, folder / f"seed{seed}")
    path = folder / "seed1" / "config.json"
    older = json.loads(path.read_text())
    del older["model"]["norm_group"]
    path.write_text(json.dumps(older))
    return folder
