import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.train.objective import softened_cross_entropy
from tests.train.helpers import config


def by_hand(logits, labels, visibility, mode, num_classes=10, k=2.0):
    """Eqs. 4 to 7 with loops."""
    losses, weights = [], []
    for z, y, v in zip(logits, labels, visibility, strict=True):
        p = 1 - (1 - 1 / num_classes) * (1 - v) ** k
        log_q = z - np.log(np.exp(z).sum())
        t = p if "target" in mode else 1.0
        losses.append(-sum(log_q[c] * (t if c == y else (1 - t) / (num_classes - 1)) for c in range(num_classes)))
        weights.append(p if "weight" in mode else 1.0)
    return np.array(losses), np.array(weights)


@pytest.mark.parametrize("mode", ["none", "target", "weight", "target_and_weight"])
@pytest.mark.parametrize(
    ("weighting", "normalize"), [("per_example", False), ("per_example", True), ("batch_mean", False)]
)
def test_loss_equals_the_formulas(rng, mode, weighting, normalize):
    chosen = config(soften__mode=mode, loss__weighting=weighting, loss__normalize_weights=normalize)
    logits, labels = rng.normal(size=(16, 10)), rng.integers(0, 10, 16)
    visibility = rng.uniform(size=16)
    losses, weights = by_hand(logits, labels, visibility, mode)
    expected = weights.mean() * losses.mean() if weighting == "batch_mean" else (weights * losses).mean()
    expected = expected / weights.mean() if normalize else expected
    objective = softened_cross_entropy(chosen, 10)
    got = objective(jnp.float32(logits), jnp.asarray(labels), jnp.float32(visibility))
    np.testing.assert_allclose(got.loss, expected, rtol=1e-5)
    np.testing.assert_allclose(got.weights, weights, rtol=1e-6)


def test_constant_smoothing_does_not_look_at_the_visibility():
    objective = softened_cross_entropy(config(arg="smoothing=0.1"), 10)
    logits, labels = jnp.zeros((2, 10)).at[:, 3].set(2.0), jnp.array([3, 3])
    seen = [objective(logits, labels, jnp.full(2, v)) for v in (0.0, 1.0)]
    np.testing.assert_array_equal(seen[0].loss, seen[1].loss)
    losses, _ = by_hand(np.asarray(logits), [3, 3], [1.0, 1.0], "none")
    smooth = 0.9 * losses.mean() + 0.1 * (losses.mean() + 2.0)  # the other classes' logits are 2 below
    np.testing.assert_allclose(seen[0].loss, smooth, rtol=1e-5)
