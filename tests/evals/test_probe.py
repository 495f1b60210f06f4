"""The linear probe, against scikit-learn and what can be said in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from softaug_jax.data.sources import load
from softaug_jax.evals import LinearProbe

STATE = np.float32(1)


def clusters(rng, num_examples=200, num_classes=4, width=6):
    labels = rng.integers(0, num_classes, num_examples, dtype=np.int32)
    centres = np.random.default_rng(5).normal(size=(num_classes, width))
    return (centres[labels] + rng.normal(size=(num_examples, width))).astype(np.float32), labels


def probe(predict, batches, train_batches, **kwargs):
    kwargs = {"num_classes": 4, "epochs": 5, "batch_size": 32, **kwargs}
    return dict(LinearProbe(predict, batches, train_batches, **kwargs).run(STATE))


def assert_close(results, others, atol):
    assert results.keys() == others.keys()
    for name, value in results.items():
        np.testing.assert_allclose(value, others[name], atol=atol, err_msg=name)


def test_digits_as_well_as_scikit_learn(rng, rows, feature_batches):
    """The penalised optimum, which is one point; the bias is a feature, since weight decay is on it too."""
    sets = [load("digits", split) for split in ("train", "test")]
    (x, labels), (test_x, test_labels) = [(s.images.reshape(-1, 64).astype(np.float32), s.labels) for s in sets]
    data = feature_batches(test_x, test_labels, 128, devices=1), feature_batches(x, labels, 128, devices=1)
    results = probe(rows, *data, num_classes=10, epochs=40, batch_size=256, weight_decay=1e-3)

    deviation = x.std(0, dtype=np.float64)
    assert (deviation == 0).any()  # some pixels are always black
    scale = lambda values: (
        np.where(deviation > 0, values - x.mean(0, dtype=np.float64), 0) / (8 * np.where(deviation > 0, deviation, 1))
    )
    with_one = lambda values: np.concatenate([scale(values), np.ones((len(values), 1))], 1)
    best = LogisticRegression(C=1 / (1e-3 * len(x)), fit_intercept=False, tol=1e-6, max_iter=1000)
    log_p = best.fit(with_one(x), labels).predict_log_proba(with_one(test_x))
    nll = -log_p[np.arange(len(test_labels)), test_labels].mean()
    error = 1 - best.score(with_one(test_x), test_labels)
    assert 0.01 < error < 0.1
    assert results["nll"] == pytest.approx(nll, rel=0.02)
    assert results["top1_error"] == pytest.approx(error, abs=0.01)
    assert results["probe/train_top1_error"] == pytest.approx(1 - best.score(with_one(x), labels), abs=0.01)
    assert results["num_examples"] == len(test_labels)


def test_without_information_it_learns_the_classes_shares(rng, rows, feature_batches):
    """Features that never change: the likelihood's best is the shares in the training set, in closed form."""
    train_labels = np.repeat([0, 1, 3], [70, 20, 10]).astype(np.int32)  # class 2 is missing
    test_labels = np.repeat([0, 1, 3], [7, 2, 1]).astype(np.int32)
    constant = lambda labels: np.full((len(labels), 5), 0.3, np.float32)
    data = (
        feature_batches(constant(test_labels), test_labels, 16),
        feature_batches(constant(train_labels), train_labels, 16),
    )
    results = probe(rows, *data, epochs=300, batch_size=1000)
    assert results["top1_error"] == pytest.approx(0.3)
    assert results["probe/train_top1_error"] == pytest.approx(0.3)
    assert results["nll"] == pytest.approx(-np.sum(np.array([0.7, 0.2, 0.1]) * np.log([0.7, 0.2, 0.1])), abs=0.01)
    assert results["ece"] == pytest.approx(0, abs=0.01)
    assert np.sum(results["calibration/bin_counts"]) == 10


def test_a_class_that_training_lacks_is_measured_all_the_same(rng, rows, feature_batches):
    values, labels = clusters(rng)
    train = feature_batches(values[labels != 2], labels[labels != 2], 64)
    results = probe(rows, feature_batches(values, labels, 64), train)
    assert np.mean(labels == 2) <= results["top1_error"] < 0.8
    assert np.isfinite(results["nll"]) and results["nll"] > 0.5


def test_batches_padding_and_devices_change_nothing(rng, rows, feature_batches):
    values, labels = clusters(rng)
    test_values, test_labels = clusters(rng)
    run = lambda size, devices: probe(
        rows, feature_batches(test_values, test_labels, size, devices), feature_batches(values, labels, size, devices)
    )
    whole = run(200, 1)
    assert run(200, 1) == whole  # and nothing is left to chance
    for size, devices in ((48, 1), (48, 8)):
        assert_close(run(size, devices), whole, atol=1e-5)


def test_the_seed_draws_the_order(rng, rows, feature_batches):
    data = feature_batches(*clusters(rng), 64), feature_batches(*clusters(rng), 64)
    first, second = (probe(rows, *data, seed=seed) for seed in (0, 1))
    assert first["nll"] != second["nll"]
    assert first["nll"] == pytest.approx(second["nll"], rel=0.2)


def test_augmentation_that_changes_nothing_changes_nothing(rng, rows, feature_batches):
    data = feature_batches(*clusters(rng), 48), feature_batches(*clusters(rng), 48)
    identity = lambda key, images: images.astype(jnp.float32)
    assert_close(probe(rows, *data, augment=identity), probe(rows, *data), atol=1e-5)


def test_augmented_images_are_what_it_learns_from(rng, rows, feature_batches):
    """Trained on images of another sign it is wrong where it would be right, also on its training images."""
    values, labels = clusters(rng, num_classes=2)
    values += np.float32(3) * np.where(labels == 0, 1, -1)[:, None].astype(np.float32)
    data = feature_batches(values, labels, 64), feature_batches(values, labels, 64)
    flipped = probe(rows, *data, augment=lambda key, images: -images)
    assert probe(rows, *data)["top1_error"] < 0.05
    assert flipped["top1_error"] > 0.9
    assert flipped["probe/train_top1_error"] > 0.9


def test_each_epoch_and_batch_has_its_own_draws(rng, rows, feature_batches):
    seen = []

    def watched(state, images):
        seen.append(np.asarray(images[0]).ravel())
        return rows(state, images)

    noise = lambda key, images: images + jax.random.normal(key, images.shape)
    values = np.zeros((64, 3), np.float32)
    data = feature_batches(values, np.zeros(64, np.int32), 32)
    run = lambda seed: probe(watched, data, data, epochs=3, augment=noise, seed=seed)
    run(0)
    plain, drawn, test = seen[:2], seen[2:8], seen[8:]
    np.testing.assert_array_equal(plain + test, 0)
    assert len(np.unique(np.round(drawn, 5), axis=0)) == 6
    seen.clear()
    run(0)
    np.testing.assert_array_equal(seen[2:8], drawn)
    seen.clear()
    run(1)
    assert (np.array(seen[2:8]) != drawn).all()


def test_the_augmentation_is_compiled_once(rng, rows, feature_batches):
    traces = []

    def counted(key, images):
        traces.append(images.shape)
        return images

    data = feature_batches(*clusters(rng), 48), feature_batches(*clusters(rng), 48)
    probe(rows, *data, augment=counted)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"batch_size": 2.5}, "batch_size = 2.5"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"num_bins": 0}, "num_bins = 0"),
        ({"num_classes": 0}, "num_classes = 0"),
    ],
)
def test_static_mistakes_are_named(rows, kwargs, message):
    with pytest.raises(ValueError, match=message):
        probe(rows, [], [], **kwargs)


def test_nothing_to_learn_from_is_an_error(rng, rows, feature_batches):
    batches = feature_batches(*clusters(rng), 64)
    empty = [{**b, "mask": b["mask"] & False} for b in batches]
    for data, message in (
        ((batches, []), "no batches"),
        ((batches, empty), "masked out"),
        ((empty, batches), "masked"),
    ):
        with pytest.raises(ValueError, match=message):
            probe(rows, *data)
