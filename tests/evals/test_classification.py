"""Means over a whole set, against NumPy in float64."""

import numpy as np
import pytest

from softaug_jax.evals import Calibration, Classification

NUM_CLASSES = 5


def expected(logits, labels):
    logits = logits.astype(np.float64)
    log_p = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    log_p -= logits.max(1, keepdims=True)
    wrong = nll = brier = 0.0
    for row, label in zip(log_p, labels, strict=True):
        wrong += row.argmax() != label
        nll -= row[label]
        brier += sum((np.exp(value) - (c == label)) ** 2 for c, value in enumerate(row))
    n = len(labels)
    return {"top1_error": wrong / n, "nll": nll / n, "brier": brier / n, "num_examples": n}


def expected_ece(logits, labels, num_bins):
    p = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    gaps = np.zeros(num_bins)
    counts = np.zeros(num_bins)
    for row, label in zip(p, labels, strict=True):
        bin_number = max(int(np.ceil(row.max() * num_bins)) - 1, 0)
        gaps[bin_number] += float(row.argmax() == label) - row.max()
        counts[bin_number] += 1
    return np.abs(gaps).sum() / len(labels), counts


@pytest.mark.parametrize(("num_examples", "batch_size"), [(100, 16), (100, 104), (1, 8), (64, 64)])
def test_values_are_those_of_numpy_whatever_the_batches(rng, rows, feature_batches, num_examples, batch_size):
    logits = rng.normal(0, 2, (num_examples, NUM_CLASSES)).astype(np.float32)
    labels = rng.integers(0, NUM_CLASSES, num_examples, dtype=np.int32)
    data = feature_batches(logits, labels, batch_size)
    results = dict(Classification(rows, data).run(np.float32(1)))
    assert list(results) == ["top1_error", "nll", "brier", "num_examples"]
    for name, value in expected(logits, labels).items():
        np.testing.assert_allclose(results[name], value, rtol=1e-5, err_msg=name)
    calibration = dict(Calibration(rows, data, num_bins=7).run(np.float32(1)))
    ece, counts = expected_ece(logits, labels, 7)
    np.testing.assert_allclose(calibration["ece"], ece, rtol=1e-5)
    np.testing.assert_array_equal(calibration["calibration/bin_counts"], counts)


@pytest.mark.parametrize(("shift", "top1_error", "ece", "nll"), [(0, 0.0, 0.0, 0.0), (1, 1.0, 1.0, 80.0)])
def test_sure_and_always_right_or_always_wrong(rng, rows, feature_batches, shift, top1_error, ece, nll):
    labels = rng.integers(0, NUM_CLASSES, 30, dtype=np.int32)
    logits = 80.0 * np.eye(NUM_CLASSES, dtype=np.float32)[(labels + shift) % NUM_CLASSES]
    data = feature_batches(logits, labels, 16)
    results = dict(Classification(rows, data).run(np.float32(1)))
    assert results["top1_error"] == top1_error
    assert results["brier"] == pytest.approx(2 * top1_error, abs=1e-6)
    assert results["nll"] == pytest.approx(nll, abs=1e-5)
    calibration = dict(Calibration(rows, data).run(np.float32(1)))
    assert calibration["ece"] == pytest.approx(ece, abs=1e-6)
    assert calibration["calibration/bin_counts"] == [0.0] * 9 + [30.0]
    assert calibration["calibration/bin_confidence_sums"] == [0.0] * 9 + [30.0]
    assert calibration["calibration/bin_accuracy_sums"] == [0.0] * 9 + [30.0 * (1 - shift)]


def test_a_confidence_on_an_edge_is_in_the_bin_below(rows, feature_batches):
    logits = np.zeros((10, 2), np.float32)  # a confidence of exactly one half: in (0.4, 0.5]
    calibration = dict(Calibration(rows, feature_batches(logits, np.zeros(10, np.int32), 8)).run(np.float32(1)))
    assert calibration["calibration/bin_counts"] == [0.0] * 4 + [10.0] + [0.0] * 5
    assert calibration["ece"] == pytest.approx(0.5)


def test_the_state_reaches_the_model(rng, rows, feature_batches):
    logits = rng.normal(0, 2, (20, NUM_CLASSES)).astype(np.float32)
    labels = logits.argmax(1).astype(np.int32)
    evaluator = Classification(rows, feature_batches(logits, labels, 8))
    assert dict(evaluator.run(np.float32(1)))["top1_error"] == 0
    assert dict(evaluator.run(np.float32(-1)))["top1_error"] == 1


def test_nothing_to_evaluate_on_is_an_error(rows, feature_batches):
    with pytest.raises(ValueError, match="no batches"):
        list(Classification(rows, []).run(np.float32(1)))
    empty = [{**b, "mask": b["mask"] & False} for b in feature_batches(np.zeros((8, 2)), np.zeros(8, np.int32), 8)]
    for evaluator in (Classification(rows, empty), Calibration(rows, empty)):
        with pytest.raises(ValueError, match="masked out"):
            list(evaluator.run(np.float32(1)))
    for num_bins in (0, 2.5):
        with pytest.raises(ValueError, match=f"num_bins = {num_bins}"):
            Calibration(rows, [], num_bins=num_bins)
