"""Programs that train alike pass; another recipe does not."""

import numpy as np
from scipy import stats

from benchmarks import agreement


def curves(rng, seeds=3, epochs=4, shift=0.0):
    means = np.linspace(2.0, 0.5, epochs)
    losses = means + shift + rng.normal(0, 0.02, (seeds, epochs))
    return {"train_loss": losses.tolist(), "test_top1_error": (0.1 + rng.normal(0, 0.005, seeds)).tolist()}


def test_the_verdict_is_that_of_student_s_t_test(rng):
    verdicts = set()
    for shift in (0.0, 0.05, 0.1, 0.15, 0.2, 0.4):
        ours, theirs = curves(rng), curves(rng, shift=shift)
        found = agreement.compared(ours, {"peer": theirs})
        p = stats.ttest_ind(agreement.series(ours), agreement.series(theirs), axis=0).pvalue
        assert found["agree"] == bool((p >= agreement.LEVEL / 5).all())
        verdicts.add(found["agree"])
    assert verdicts == {True, False}


def test_one_peer_that_differs_is_named(rng):
    found = agreement.compared(curves(rng), {"alike": curves(rng), "other": curves(rng, shift=1.0)})
    assert not found["agree"]
    assert found["peers"]["alike"]["agree"] and not found["peers"]["other"]["agree"]
    alike, other = agreement.table(found)
    assert "DIFFERENT" in other and "DIFFERENT" not in alike


def test_more_comparisons_need_more_difference(rng):
    ours, peer = curves(rng), curves(rng)
    one = agreement.compared(ours, {"a": peer})["peers"]["a"]["test_top1_error"]["tolerance"]
    two = agreement.compared(ours, {"a": peer, "b": peer})["peers"]["a"]["test_top1_error"]["tolerance"]
    assert two > one
