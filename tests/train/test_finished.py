"""The same command on a finished run, and its evaluation."""

import json

import jax
import jax.numpy as jnp
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import loop, setup, sharding
from softaug_jax.train.checkpoint import Checkpoints
from softaug_jax.train.evaluation import Evaluation, load
from softaug_jax.train.workdir import Workdir
from tests.train.helpers import config


def finished(path, chosen, **summary):
    folder = Workdir(path)
    folder.claim(chosen)
    (path / "summary.json").write_text(json.dumps({"steps": 90, **summary}))
    return folder


@pytest.mark.parametrize(
    ("name", "arg", "final", "figures", "words"),
    [
        ("digits_sa", "epochs=2", ("classification",), {"top1_error": 0.25}, "90 steps. test error 25.00%"),
        ("simsiam", "dataset=digits", ("knn",), {"knn_top1_error": 0.3}, "nearest-neighbour test error 30.00%"),
        ("digits_sa", "epochs=2", (), {"examples_per_second": None}, "is finished after 90 steps."),
    ],
)
def test_a_finished_run_says_what_it_has(tmp_path, capsys, name, arg, final, figures, words):
    chosen = config(name, arg, evals__final=final)
    finished(tmp_path, chosen, **figures)
    assert loop.run(chosen, tmp_path) == {"steps": 90, **figures}
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path} is finished after 90 steps.") and out.endswith(f"{words}\n")


def test_evaluation_counts_the_images_that_the_run_had_and_prints_before_it_writes(tmp_path, one_device, capsys):
    """SNGP's logits depend on how many images were trained on; of those published a folder may hold a part."""
    fields = dict(sngp__num_features=32, model__spectral_bound=0.0, evals__final=("classification",))
    chosen = config("digits_baseline", "epochs=1,method=sngp", **fields)
    folder = finished(tmp_path, chosen, num_train=256)
    parts = setup.build(chosen, 256)
    state = jax.jit(parts.initial_state, out_shardings=sharding.over().replicated)()
    state.batch_stats["classifier"] |= {"moment": jnp.eye(32), "weight": jnp.ones(())}
    checkpoints = Checkpoints(folder.path)
    checkpoints.save(state, 0, {})
    checkpoints.close()
    (tmp_path / "eval.json").mkdir()
    with pytest.raises(UsageError, match=r"eval.json can't be written: .*\. The figures are those printed above"):
        loop.evaluate(chosen, tmp_path)
    printed = capsys.readouterr().out
    test = load(chosen, "test")
    expected = Evaluation(chosen, parts, test, lambda: test, sharding.over()).run(("classification",), state)
    assert f"{expected['nll']:,.4g}" in printed and f"{expected['top1_error']:.2%}" in printed
