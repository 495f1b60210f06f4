import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from softaug_jax.evals.ranking import auroc, separations


@pytest.mark.parametrize("levels", [3, 10_000])
def test_equals_scikit_learns_with_and_without_ties(rng, levels):
    positive, negative = rng.integers(1, levels + 2, 70) / 7.0, rng.integers(0, levels, 41) / 7.0
    labels = np.r_[np.ones(70), np.zeros(41)]
    np.testing.assert_allclose(auroc(positive, negative), roc_auc_score(labels, np.r_[positive, negative]), rtol=1e-12)


def test_infinite_scores_rank_and_nan_is_an_error():
    assert auroc([np.inf, 0.0], [-np.inf]) == 1.0
    for positive, negative in (([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan])):
        with pytest.raises(ValueError, match="auroc"):
            auroc(positive, negative)


def test_separations_leave_out_what_has_one_side_alone():
    whole, hidden = np.array([3.0, 2.0, 1.0]), np.array([0.0, 0.5, 2.5])
    found = dict(separations("s", whole, np.array([True, False, True]), hidden))
    assert found == {"s/auroc_right": 0.5, "s/auroc_whole": pytest.approx(7 / 9)}
    assert set(dict(separations("s", whole, np.ones(3, bool), hidden))) == {"s/auroc_whole"}
