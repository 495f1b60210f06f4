"""Energy and density of a network that returns its images, against scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from softaug_jax.evals import Density, Energy, Occluded
from softaug_jax.evals.density import fit, log_density


def area(name, scores_whole, right, scores_hidden):
    n = len(right)
    return {
        f"{name}/auroc_right": pytest.approx(roc_auc_score(right, scores_whole)),
        f"{name}/auroc_whole": pytest.approx(
            roc_auc_score(np.r_[np.ones(n), np.zeros(n)], np.r_[scores_whole, scores_hidden])
        ),
    }


def test_energy_ranks_right_and_whole_images(rng, rows, feature_batches):
    labels = rng.integers(0, 4, 50).astype(np.int32)
    logits = (2.0 * np.eye(4)[labels] + rng.normal(size=(50, 4))).astype(np.float32)
    hidden = (0.5 * logits + rng.normal(size=(50, 4))).astype(np.float32)
    cut = lambda values: feature_batches(values, labels, 16)
    figures = dict(Energy(rows, cut(logits), cut(hidden)).run(1.0))
    right = logits.argmax(-1) == labels
    assert figures == area("energy", logsumexp(logits, axis=1), right, logsumexp(hidden, axis=1))


def test_density_is_the_mixtures_and_ranks(rng, rows, feature_batches):
    means = np.array([[0.0, 0, 0], [3, 0, 1], [0, 2, 2]])
    draw = lambda n: (lambda y: (means[y] + rng.normal(size=(n, 3)) @ np.diag([1, 0.5, 0.2]), y.astype(np.int32)))(
        rng.integers(0, 3, n)
    )
    (train, train_labels), (test, labels) = draw(90), draw(40)
    hidden = test + rng.normal(size=test.shape)
    train, test, hidden = (x.astype(np.float32) for x in (train, test, hidden))

    def by_hand(x):
        parts = []
        for c in range(3):
            own = train[train_labels == c].astype(np.float64)
            gaussian = multivariate_normal(own.mean(0), np.cov(own.T))
            parts.append(np.log(len(own) / 90) + gaussian.logpdf(x))
        return logsumexp(parts, axis=0)

    np.testing.assert_allclose(log_density(fit(train, train_labels), test), by_hand(test), rtol=1e-6)
    cut = lambda x, y: feature_batches(x, y, 16)
    evaluator = Density(rows, rows, cut(test, labels), cut(hidden, labels), cut(train, train_labels))
    right = test.argmax(-1) == labels
    assert dict(evaluator.run(1.0)) == area("density", by_hand(test), right, by_hand(hidden))


def test_features_that_never_vary_do_not_break_the_density(rng):
    values = np.c_[rng.normal(size=(20, 2)), np.zeros(20), np.full(20, 3.0)]
    density = log_density(fit(values, np.arange(20) % 2), np.r_[values, values + 1.0])
    assert np.isfinite(density).all() and density[:20].min() > density[20:].max()


def test_what_no_density_can_be_fitted_to_is_an_error(rng):
    with pytest.raises(ValueError, match="a single training example"):
        fit(rng.normal(size=(3, 2)), np.array([0, 0, 1]))
    with pytest.raises(ValueError, match="not finite"):
        fit(np.full((4, 2), np.nan), np.zeros(4))


def test_occluded_batches_cover_the_share_and_keep_the_rest(rng):
    images = rng.integers(1, 256, (3, 10, 10, 1)).astype(np.uint8)
    batch = {"image": images, "index": np.arange(3), "label": np.arange(3), "mask": np.ones(3, bool)}
    batches = Occluded([batch], share=0.64, fill=0.0)
    for _ in range(2):  # each pass is the same
        (hidden,) = batches
        covered = np.asarray(hidden["image"]) == 0
        assert covered.sum((1, 2, 3)).tolist() == [64] * 3
        np.testing.assert_array_equal(np.asarray(hidden["image"])[~covered], images[~covered])
        assert hidden["label"] is batch["label"]
