"""A run's network in code of one's own."""

import json

import jax
import numpy as np
import pytest

from softaug_jax import evaluate, models
from softaug_jax.checks import UsageError
from softaug_jax.data import sources
from softaug_jax.data.info import INFO
from softaug_jax.models import weights


def test_it_predicts_as_the_run_did_and_so_do_the_weights_that_are_saved(finished, tmp_path):
    folder = finished / "seed1"  # of an earlier version: its config lacks a field
    network, test = evaluate.trained(folder), sources.load("digits", "test")
    logits = np.asarray(network.predict(test.images[:11]))  # any number of images
    assert logits.shape == (11, 10)
    predicted = np.argmax(network.predict(test.images), axis=-1)
    error = np.mean(predicted != test.labels)
    assert error == pytest.approx(json.loads((folder / "summary.json").read_text())["top1_error"])
    weights.save(tmp_path / "own.npz", network.params, network.batch_stats)
    model, about = models.create("resnet8", num_classes=10, channels=1), INFO["digits"]
    normalised = (test.images[:11] / np.float32(255) - about.mean[0]) / about.std[0]
    again = jax.jit(model.predict)(*weights.load(tmp_path / "own.npz", model), normalised)
    np.testing.assert_allclose(again, logits, rtol=1e-4, atol=1e-4)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UsageError, match=f"{tmp_path} holds no run"):
        evaluate.trained(tmp_path)
