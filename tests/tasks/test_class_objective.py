import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Augmented
from softaug_jax.data.schedule import Schedule
from softaug_jax.tasks.class_objective import ClassObjective
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


def objective_of(num_classes=10, schedule=Schedule(100, 10, 2), **settings):  # noqa: B008
    return ClassObjective(config(**settings), num_classes, schedule)


def loss_of(objective, logits, labels, visibility, share=None):
    softened = objective.soften(
        jnp.asarray(labels),
        jnp.float32(visibility),
        None if share is None else jnp.float32(share),
        objective.initial_memory(),
    )
    return objective.loss(jnp.float32(logits), softened), softened


@pytest.mark.parametrize("mode", ["none", "target", "weight", "target_and_weight"])
@pytest.mark.parametrize(
    ("weighting", "normalize"), [("per_example", False), ("per_example", True), ("batch_mean", False)]
)
def test_loss_equals_the_formulas(rng, mode, weighting, normalize):
    objective = objective_of(soften__mode=mode, loss__weighting=weighting, loss__normalize_weights=normalize)
    logits, labels = rng.normal(size=(16, 10)), rng.integers(0, 10, 16)
    visibility = rng.uniform(size=16)
    losses, weights = by_hand(logits, labels, visibility, mode)
    expected = weights.mean() * losses.mean() if weighting == "batch_mean" else (weights * losses).mean()
    expected = expected / weights.mean() if normalize else expected
    loss, softened = loss_of(objective, logits, labels, visibility)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(softened.weights, weights, rtol=1e-6)


def test_a_batch_without_weight_has_no_loss_and_no_gradient():
    objective = objective_of(soften__mode="weight", soften__p_min=0.0, loss__normalize_weights=True)
    loss = lambda logits: loss_of(objective, logits, [0, 1], [0.0, 0.0])[0]
    value, gradient = jax.value_and_grad(loss)(jnp.ones((2, 10)))
    assert value == 0 and not gradient.any()


def test_constant_smoothing_does_not_look_at_the_visibility():
    objective = objective_of(arg="smoothing=0.1")
    logits, labels = jnp.zeros((2, 10)).at[:, 3].set(2.0), jnp.array([3, 3])
    seen = [loss_of(objective, logits, labels, np.full(2, v))[0] for v in (0.0, 1.0)]
    np.testing.assert_array_equal(seen[0], seen[1])
    losses, _ = by_hand(np.asarray(logits), [3, 3], [1.0, 1.0], "none")
    smooth = 0.9 * losses.mean() + 0.1 * (losses.mean() + 2.0)  # the other classes' logits are 2 below
    np.testing.assert_allclose(seen[0], smooth, rtol=1e-5)


@pytest.mark.parametrize("mode", ["none", "target_and_weight"])
def test_a_mixed_images_loss_is_the_mixture_of_its_two_losses(rng, mode):
    objective = objective_of(soften__mode=mode, loss__focal_gamma=0.0)
    logits, labels = rng.normal(size=(6, 10)), rng.integers(0, 10, 6)
    visibility, share = rng.uniform(size=6), rng.uniform(size=6)
    swapped = [1, 0, 3, 2, 5, 4]
    own, own_weights = by_hand(logits, labels, visibility, mode)
    other, other_weights = by_hand(logits, labels[swapped], visibility[swapped], mode)
    loss, softened = loss_of(objective, logits, labels, visibility, share)
    np.testing.assert_allclose(
        loss, (share * own_weights * own + (1 - share) * other_weights * other).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(softened.targets.sum(-1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("gamma", [1, 2, 5])
def test_focal_loss_takes_the_place_of_cross_entropy(rng, gamma):
    logits, labels = rng.normal(size=(8, 10)), rng.integers(0, 10, 8)
    loss, _ = loss_of(
        objective_of(name="digits_baseline", arg=f"method=focal,gamma={gamma}"), logits, labels, np.ones(8)
    )
    p = np.take_along_axis(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), labels[:, None], 1)[:, 0]
    np.testing.assert_allclose(loss, (-((1 - p) ** gamma) * np.log(p)).mean(), rtol=1e-5)


def objective_and_epochs(rng, epochs=3, num_train=23, batch_size=5, num_classes=4):
    """Logits and labels for every step of a few epochs whose batches straddle their ends."""
    schedule = Schedule(num_train, batch_size, epochs)
    objective = objective_of(num_classes, schedule, name="digits_baseline", arg="method=online_label_smoothing")
    steps = [
        (rng.normal(size=(batch_size, num_classes)), rng.integers(0, num_classes - 1, batch_size))
        for _ in range(schedule.total_steps)
    ]
    return objective, schedule, steps


def test_online_label_smoothing_equals_its_paper_by_hand(rng):
    objective, schedule, steps = objective_and_epochs(rng)
    memory, remember = objective.initial_memory(), jax.jit(objective.remember)
    moving = np.full((4, 4), 0.25)
    for epoch in range(schedule.epochs):
        sums, counts = np.zeros((4, 4)), np.zeros(4)
        for step in range(schedule.step_of_epoch(epoch), schedule.step_of_epoch(epoch + 1)):
            np.testing.assert_allclose(memory.targets, moving, atol=1e-6)
            logits, labels = steps[step]
            memory = remember(memory, jnp.float32(logits), jnp.asarray(labels), jnp.int32(step))
            for z, y in zip(logits, labels, strict=True):
                if z.argmax() == y:
                    sums[y] += np.exp(z) / np.exp(z).sum()
                    counts[y] += 1
        assert counts[3] == 0  # no example is of this class: it keeps its target
        seen = counts > 0
        moving[seen] = sums[seen] / counts[seen, None]
    np.testing.assert_allclose(memory.targets, moving, atol=1e-6)
    assert not np.allclose(moving, 0.25)


def test_online_label_smoothing_mixes_half_of_the_moving_target_in(rng):
    objective, _, _ = objective_and_epochs(rng)
    moving = rng.dirichlet(np.ones(4), 4).astype(np.float32)
    memory = objective.initial_memory()._replace(targets=jnp.asarray(moving))
    labels = np.array([0, 2, 1])
    softened = objective.soften(jnp.asarray(labels), jnp.ones(3), None, memory)
    np.testing.assert_allclose(softened.targets, 0.5 * np.eye(4)[labels] + 0.5 * moving[labels], rtol=1e-6)


def test_a_mixed_images_error_is_counted_by_the_shares_of_its_two_classes():
    logits = jnp.eye(4)[jnp.array([0, 1, 2, 3])]  # guesses 0, 1, 2, 3
    labels, share = jnp.array([0, 0, 1, 3]), jnp.array([0.75, 0.75, 0.5, 0.5])
    seen = Augmented(jnp.zeros((4, 8, 8, 1)), jnp.array([1.0, 0.5, 0.5, 0.0]), share)
    # Partners' labels are 0, 0, 3, 1: the first is right in both, the second in none, the last in its own half.
    mixed = objective_of(4).measure(logits, labels, seen)
    np.testing.assert_allclose(mixed["top1_error"], np.mean([0.0, 1.0, 1.0, 0.5]))
    np.testing.assert_allclose(mixed["visibility"], 0.5)
    whole = objective_of(4).measure(logits, labels, seen._replace(share=None))
    np.testing.assert_allclose(whole["top1_error"], np.mean([0, 1, 1, 0]))
