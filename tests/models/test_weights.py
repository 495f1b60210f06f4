import jax
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.models import weights


def create(name="resnet8", **kwargs):
    return models.create(name, **{"num_classes": 10, "channels": 1, "dtype": "float32", **kwargs})


def test_what_is_saved_is_loaded(tmp_path, random_weights):
    model = create()
    saved = random_weights(model)
    weights.save(tmp_path / "a.npz", *saved)
    jax.tree.map(np.testing.assert_array_equal, weights.load(tmp_path / "a.npz", model), saved)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            dict(num_classes=3),
            r"params.classifier.bias has shape \(10,\), the network needs \(3,\).*num_classes, ",
        ),
        (
            dict(channels=3),
            r"params.stem.kernel has shape \(3, 3, 1, 16\), the network needs \(3, 3, 3, 16\).*channels",
        ),
        (dict(name="resnet20"), "has no batch_stats.blocks.3.norm1.mean, which the network needs"),
    ],
)
def test_weights_of_another_network_are_errors(tmp_path, random_weights, other, message):
    weights.save(tmp_path / "a.npz", *random_weights(create()))
    with pytest.raises(UsageError, match=f"a.npz.* ?{message}"):
        weights.load(tmp_path / "a.npz", create(**other))


def test_weights_that_are_left_over_are_an_error(tmp_path, random_weights):
    weights.save(tmp_path / "a.npz", *random_weights(create("resnet20")))
    with pytest.raises(UsageError, match="a.npz has batch_stats.blocks.3.norm1.mean, which the network does not"):
        weights.load(tmp_path / "a.npz", create())


def test_a_single_array_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(UsageError, match="a.npy holds a single array"):
        weights.load(tmp_path / "a.npy", create())
