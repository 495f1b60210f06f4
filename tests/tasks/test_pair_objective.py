import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Augmented
from softaug_jax.models.siamese import Embeddings
from softaug_jax.pair_losses import barlow_twins_loss
from softaug_jax.tasks.pair_objective import PairObjective
from tests.train.helpers import config

IOU = np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32)


def objective_of(arg="", name="simsiam", **fields):
    return PairObjective(config(name, f"dataset=digits{arg and ','}{arg}", **fields).pairs)


def embeddings(rng, batch=5, dim=8):
    return Embeddings(*(jnp.asarray(rng.normal(size=(batch, 2, dim)), jnp.float32) for _ in range(2)))


@pytest.mark.parametrize(
    ("arg", "expected"),
    [
        ("hypothesis=none", np.ones(5)),
        ("hypothesis=sa1", 1 - (1 - IOU) ** 4),  # Eq. 9
        ("hypothesis=sa2", 1 - IOU**4),  # Eq. 10
        ("hypothesis=sa1,k=2,p_min=0.2", 1 - 0.8 * (1 - IOU) ** 2),
        ("hypothesis=sa2,k=1,p_min=0.5", 1 - 0.5 * IOU),
    ],
)
def test_weights_are_the_papers(arg, expected):
    softened = objective_of(arg).soften(jnp.arange(5), IOU, None, ())
    assert softened.targets is None
    np.testing.assert_allclose(softened.weights, expected, atol=1e-6)


def test_simsiams_loss_is_the_mean_of_weight_times_loss(rng):
    outputs = embeddings(rng)
    objective = objective_of("hypothesis=sa1")
    loss = objective.loss(outputs, objective.soften(jnp.arange(5), IOU, None, ()))
    z, p = (np.asarray(x, np.float64) for x in outputs)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    cosine = lambda a, b: (unit(a) * unit(b)).sum(-1)
    losses = -(cosine(p[:, 0], z[:, 1]) + cosine(p[:, 1], z[:, 0])) / 2
    np.testing.assert_allclose(loss, ((1 - (1 - IOU) ** 4) * losses).mean(), atol=1e-6)


def test_barlow_twins_loss_is_that_of_the_weighted_correlation(rng):
    outputs = embeddings(rng)._replace(predictions=None)
    objective = objective_of("hypothesis=sa1", "barlow_twins", pairs__redundancy=0.5)
    softened = objective.soften(jnp.arange(5), IOU, None, ())
    expected = barlow_twins_loss(outputs.projections, softened.weights, redundancy=0.5)
    np.testing.assert_array_equal(objective.loss(outputs, softened), expected)
    assert float(expected) != float(barlow_twins_loss(outputs.projections, redundancy=0.5))


def test_what_is_logged_is_the_overlap_and_the_spread(rng):
    outputs = embeddings(rng)
    seen = Augmented(jnp.zeros((5, 2, 8, 8, 1)), jnp.asarray(IOU), None)
    measured = objective_of().measure(outputs, jnp.arange(5), seen)
    np.testing.assert_allclose(measured["iou"], IOU.mean(), rtol=1e-6)
    z = np.asarray(outputs.projections, np.float64).reshape(10, 8)
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    np.testing.assert_allclose(measured["output_std"], z.std(0).mean(), rtol=1e-5)


def test_labels_do_not_matter(rng):
    objective, outputs = objective_of("hypothesis=sa2"), embeddings(rng)
    losses = [
        objective.loss(outputs, objective.soften(labels, IOU, None, ()))
        for labels in jax.random.randint(jax.random.key(0), (2, 5), 0, 10)
    ]
    assert losses[0] == losses[1]
