"""The vote of the nearest neighbours, against NumPy in float64 and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from softaug_jax.checks import UsageError
from softaug_jax.evals import NearestNeighbors
from softaug_jax.evals.features import Features, direction
from softaug_jax.evals.knn import votes

NUM_CLASSES = 5


def make(rng, num_train=150, num_test=60, width=6):
    """Overlapping clusters, each of a class, of vectors of any length."""
    centres = rng.normal(size=(NUM_CLASSES, width))
    sets = []
    for size in (num_train, num_test):
        labels = rng.integers(0, NUM_CLASSES, size, dtype=np.int32)
        values = (centres[labels] + rng.normal(size=(size, width))) * rng.uniform(0.1, 10, (size, 1))
        sets += [values.astype(np.float32), labels]
    return sets


def bank_of(values, labels):
    return Features(direction(jnp.asarray(values)), jnp.asarray(labels))


def expected_votes(queries, bank, labels, k, temperature, num_classes=NUM_CLASSES):
    """One query at a time, with the paper's weights as they are."""
    unit = lambda x: x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    similarity = unit(queries) @ unit(bank).T
    result = np.zeros((len(queries), num_classes))
    for row, scores in zip(similarity, result, strict=True):
        for neighbour in np.argsort(-row, kind="stable")[:k]:
            scores[labels[neighbour]] += np.exp(row[neighbour] / temperature)
    return result


def evaluate(rows, batches, train_batches, state=1.0, **kwargs):
    evaluator = NearestNeighbors(rows, batches, train_batches, num_classes=NUM_CLASSES, **kwargs)
    return dict(evaluator.run(np.float32(state)))


@pytest.mark.parametrize(("batch_size", "devices"), [(16, 8), (64, 8), (7, 1)])
@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (20, 0.1), (150, 0.3)])
def test_error_is_that_of_numpy_whatever_the_batches(rng, rows, feature_batches, batch_size, devices, k, temperature):
    bank, bank_labels, queries, labels = make(rng)
    results = evaluate(
        rows,
        feature_batches(queries, labels, batch_size, devices),
        feature_batches(bank, bank_labels, batch_size, devices),
        k=k,
        temperature=temperature,
    )
    wanted = expected_votes(queries, bank, bank_labels, k, temperature).argmax(1) != labels
    assert 0.05 < wanted.mean() < 0.8
    assert results == {"knn_top1_error": pytest.approx(wanted.mean(), abs=1e-9)}


@pytest.mark.parametrize("k", [1, 10, 150])
def test_votes_are_those_of_numpy_and_of_scikit_learn(rng, k):
    bank, bank_labels, queries, _ = make(rng)
    result = np.asarray(votes(queries, bank_of(bank, bank_labels), num_classes=NUM_CLASSES, k=k, temperature=0.2))
    wanted = expected_votes(queries, bank, bank_labels, k, 0.2)
    shares = result / result.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, wanted / wanted.sum(1, keepdims=True), atol=1e-5)
    assert (result.sum(1) >= 1).all() and (result.sum(1) <= k * 1.0001).all()
    weights = lambda distances: np.exp((1 - distances) / 0.2)
    classifier = KNeighborsClassifier(k, weights=weights, metric="cosine", algorithm="brute").fit(bank, bank_labels)
    np.testing.assert_allclose(shares, classifier.predict_proba(queries), atol=1e-5)


def test_a_training_example_is_its_own_nearest_neighbour(rng, rows, feature_batches):
    bank, labels, _, _ = make(rng)
    batches = feature_batches(bank, labels, 64)
    assert evaluate(rows, batches, batches, k=1)["knn_top1_error"] == 0
    other = feature_batches(3 * bank, (labels + 1) % NUM_CLASSES, 16)
    assert evaluate(rows, other, batches, k=1)["knn_top1_error"] == 1


@pytest.mark.parametrize("state", [1e-30, -1.0, 1e30])
def test_the_length_of_features_says_nothing(rng, rows, feature_batches, state):
    bank, bank_labels, queries, labels = make(rng)
    data = feature_batches(queries, labels, 64), feature_batches(bank, bank_labels, 64)
    assert evaluate(rows, *data, k=9, state=state) == evaluate(rows, *data, k=9)


def test_a_small_temperature_is_the_nearest_neighbour_and_finite(rng):
    *train, queries, _ = make(rng)
    bank = bank_of(*train)
    nearest = votes(queries, bank, num_classes=NUM_CLASSES, k=1)
    result = votes(queries, bank, num_classes=NUM_CLASSES, k=150, temperature=1e-5)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result.argmax(1), nearest.argmax(1))


def test_ties_go_to_the_earlier_example_and_the_lower_class():
    bank = jnp.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    labels = jnp.array([0, 3, 1, 1])
    right = jnp.array([[5.0, 0.0]])
    count = lambda query, k: votes(query, bank_of(bank, labels), num_classes=NUM_CLASSES, k=k)
    np.testing.assert_allclose(count(right, 1), [[0, 0, 0, 1, 0]])
    np.testing.assert_allclose(count(right, 2), [[0, 1, 0, 1, 0]])
    assert count(right, 2).argmax() == 1
    # Of length zero: as near to each, so the first ones vote with equal weights. So does a neighbour of length zero.
    np.testing.assert_allclose(count(jnp.zeros((1, 2)), 3), [[1, 1, 0, 1, 0]])
    of_length_zero = bank_of(np.zeros((2, 2)), labels[:2])
    np.testing.assert_allclose(votes(right, of_length_zero, num_classes=4, k=2), [[1, 0, 0, 1]])


def test_more_neighbours_than_there_are(rng, rows, feature_batches):
    bank, bank_labels, queries, labels = make(rng, num_train=20)
    data = feature_batches(queries, labels, 64), feature_batches(bank, bank_labels, 16)  # 32 with the padding
    assert evaluate(rows, *data, k=20)["knn_top1_error"] < 0.9
    with pytest.raises(UsageError, match=r"config.evals.knn_k = 21 is more than the 20 .*--config.evals.knn_k=20"):
        evaluate(rows, *data, k=21)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"k": 0}, "k = 0"), ({"k": 1.5}, "k = 1.5"), ({"temperature": 0.0}, "temperature = 0.0")],
)
def test_static_mistakes_are_named(rng, rows, kwargs, message):
    with pytest.raises(ValueError, match=message):
        evaluate(rows, [], [], **kwargs)
    with pytest.raises(ValueError, match=message):
        votes(np.ones((2, 3)), bank_of(np.ones((4, 3)), np.zeros(4, np.int32)), num_classes=2, **{"k": 2, **kwargs})


def test_nothing_to_classify_is_an_error(rng, rows, feature_batches):
    bank, bank_labels, _, _ = make(rng)
    train = feature_batches(bank, bank_labels, 64)
    for batches in ([], [{**b, "mask": b["mask"] & False} for b in train]):
        with pytest.raises(ValueError, match=r"no batches|masked out"):
            evaluate(rows, batches, train, k=5)
