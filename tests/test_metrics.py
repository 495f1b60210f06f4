import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softaug_jax import metrics
from softaug_jax.metrics import calibration_bins, classification_sums, expected_calibration_error, output_std


def plain_ece(confidences, correct, num_bins=10):
    """Eq. 8 one example at a time; bin m holds confidences in (m / M, (m + 1) / M], compared in float32."""
    bins = [[] for _ in range(num_bins)]
    for confidence, right in zip(confidences, correct, strict=True):
        m = 0
        while m + 1 < num_bins and np.float32(confidence) > np.float32((m + 1) / num_bins):
            m += 1
        bins[m].append((float(confidence), float(right)))
    gaps = [abs(np.mean([r for _, r in b]) - np.mean([c for c, _ in b])) * len(b) for b in bins if b]
    return sum(gaps) / max(len(confidences), 1), [len(b) for b in bins]


def binary(confidences):
    """Rows whose largest value is the confidence, at class 0: not always probabilities, but any confidence."""
    confidences = np.float32(confidences)
    return np.stack([confidences, np.zeros_like(confidences)], -1)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("num_bins", [1, 3, 10, 15])
def test_ece_equals_a_plain_loop(rng, num_bins):
    probabilities, labels = rng.dirichlet(np.full(5, 0.3), 500).astype(np.float32), rng.integers(0, 5, 500)
    correct = probabilities.argmax(-1) == labels
    expected, counts = plain_ece(probabilities.max(-1), correct, num_bins)
    assert expected > 0.05
    np.testing.assert_allclose(
        expected_calibration_error(probabilities, labels, num_bins=num_bins), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(calibration_bins(probabilities, labels, num_bins=num_bins).counts, counts)


@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=20))
def test_ece_equals_a_plain_loop_on_the_edges(pairs):
    confidences, right = np.float32([c / 10 for c, _ in pairs]), np.array([r for _, r in pairs])
    expected, counts = plain_ece(confidences, right)
    labels = np.where(right, 0, 1)
    np.testing.assert_allclose(expected_calibration_error(binary(confidences), labels), expected, atol=1e-6)
    np.testing.assert_array_equal(calibration_bins(binary(confidences), labels).counts, counts)


@pytest.mark.parametrize("num_bins", [2, 10, 25, 29, 31])
def test_an_edge_belongs_to_the_bin_below_it(num_bins):
    edges = np.arange(num_bins + 1, dtype=np.float32) / np.float32(num_bins)
    expected = np.ones(num_bins)
    expected[0] = 2  # 0 is in the first bin, with the edge above it; 1 is in the last
    run = lambda p: calibration_bins(p, jnp.zeros(num_bins + 1, int), num_bins=num_bins).counts
    np.testing.assert_array_equal(run(binary(edges)), expected)
    np.testing.assert_array_equal(jax.jit(run)(binary(edges)), expected)


def test_an_edge_belongs_to_the_bin_below_it_in_double_precision():
    with jax.enable_x64(True):
        found = metrics.right_closed_bins(jnp.asarray(np.arange(11) / 10), 10)
    np.testing.assert_array_equal(found, [0, *range(10)])


def test_ece_by_hand():
    # (0.5, 0.6]: two at 0.6, one right: 2/4 * 0.1. (0.9, 1]: 1.0 wrong and 0.95 right: 2/4 * |0.5 - 0.975|.
    ece = expected_calibration_error(binary([0.6, 0.6, 1.0, 0.95]), np.array([0, 1, 1, 0]))
    np.testing.assert_allclose(ece, 0.5 * 0.1 + 0.5 * 0.475, rtol=1e-5)


@pytest.mark.parametrize(("right", "ece"), [(True, 0.0), (False, 1.0)])
def test_certainty_is_perfect_or_the_worst(right, ece):
    assert expected_calibration_error(binary([1.0, 1.0]), np.full(2, 0 if right else 1)) == ece


def test_sums_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    sums = classification_sums(logits, np.array([0, 1]))
    np.testing.assert_allclose(sums.wrong, 1)
    np.testing.assert_allclose(sums.nll, -np.log(0.5) - np.log(0.2), rtol=1e-5)
    np.testing.assert_allclose(sums.brier, (0.25 + 0.0625 + 0.0625) + (0.01 + 0.64 + 0.49), rtol=1e-5)
    assert sums.examples == 2


def test_labels_of_a_narrow_type_have_one_true_class(rng):
    logits, label = rng.normal(size=(1, 300)), np.array([5])
    expected = classification_sums(logits, label)
    jax.tree.map(np.testing.assert_array_equal, classification_sums(logits, label.astype(np.uint8)), expected)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_counts_as_wrong_without_a_loss(label):
    sums = classification_sums(np.log([[0.75, 0.25]]), np.array([label]))
    np.testing.assert_allclose(sums, [1, 0, 0.75**2 + 0.25**2, 1], rtol=1e-6)
    assert calibration_bins(binary([0.75]), np.array([label])).accuracy_sums.sum() == 0


@pytest.mark.parametrize("mask_dtype", [bool, int, "float32"])
def test_masked_examples_change_nothing_whatever_they_hold(rng, mask_dtype):
    logits, labels = rng.normal(size=(12, 4)).astype(np.float32), rng.integers(0, 4, 12)
    mask = np.array([1, 0] * 6).astype(mask_dtype)
    kept = np.arange(12) % 2 == 0
    expected = classification_sums(logits[kept], labels[kept])
    bins = calibration_bins(softmax(logits)[kept], labels[kept])
    ece = expected_calibration_error(softmax(logits)[kept], labels[kept])
    logits[~kept], labels[~kept] = np.nan, 99
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, classification_sums(logits, labels, mask), expected)
    jax.tree.map(close, calibration_bins(softmax(logits), labels, mask=mask), bins)
    close(expected_calibration_error(softmax(logits), labels, mask=mask), ece)


def test_sums_of_parts_add_up_to_the_whole(rng):
    logits, labels = rng.normal(size=(10, 4)) * 3, rng.integers(0, 4, 10)
    probabilities = softmax(logits)
    add = lambda a, b: jax.tree.map(jnp.add, a, b)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    parts = add(classification_sums(logits[:3], labels[:3]), classification_sums(logits[3:], labels[3:]))
    jax.tree.map(close, parts, classification_sums(logits, labels))
    bins = add(calibration_bins(probabilities[:3], labels[:3]), calibration_bins(probabilities[3:], labels[3:]))
    close(metrics.ece_from_bins(bins), expected_calibration_error(probabilities, labels))


def test_leading_axes_are_one_long_batch(rng):
    probabilities, labels = rng.dirichlet(np.ones(3), 8), rng.integers(0, 3, 8)
    flat = expected_calibration_error(probabilities, labels)
    np.testing.assert_allclose(
        expected_calibration_error(probabilities.reshape(2, 4, 3), labels.reshape(2, 4)), flat, rtol=1e-5
    )
    sums = classification_sums(probabilities.reshape(2, 4, 3), labels.reshape(2, 4), np.ones((2, 4)))
    np.testing.assert_allclose(sums, classification_sums(probabilities, labels), rtol=1e-5)


def test_nothing_counted_is_zero_not_nan():
    assert expected_calibration_error(binary([0.9]), np.array([0]), mask=np.array([False])) == 0


def test_output_std_is_its_formula_over_all_leading_axes(rng):
    z = rng.normal(size=(6, 2, 5)) + 1
    directions = (z / np.linalg.norm(z, axis=-1, keepdims=True)).reshape(12, 5)
    np.testing.assert_allclose(output_std(z), np.mean([np.std(column) for column in directions.T]), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(output_std)(z), output_std(z), rtol=1e-5)


def test_output_std_tells_collapse_from_isotropy(rng):
    isotropic = rng.normal(size=(4000, 16))
    np.testing.assert_allclose(output_std(isotropic), 1 / np.sqrt(16), rtol=0.01)
    constant = np.tile(rng.normal(size=16), (50, 2, 1))
    np.testing.assert_allclose(output_std(constant), 0, atol=1e-6)
    # The same direction at any length is collapse too; so are zeros, which have none.
    np.testing.assert_allclose(output_std(constant * rng.uniform(1, 9, size=(50, 2, 1))), 0, atol=1e-6)
    assert output_std(np.zeros((50, 16))) == 0
    assert output_std(jnp.ones((2, 3), jnp.bfloat16)).dtype == jnp.float32


def test_jit_and_vmap_equal_eager(rng):
    logits, labels = rng.normal(size=(3, 8, 4)).astype(np.float32), rng.integers(0, 4, (3, 8))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for run, scores in ((classification_sums, logits), (calibration_bins, softmax(logits))):
        one_by_one = [run(s, y) for s, y in zip(scores, labels, strict=True)]
        stacked = jax.tree.map(lambda *x: np.stack(x), *one_by_one)
        jax.tree.map(close, jax.jit(jax.vmap(run))(scores, labels), stacked)


P, Y = np.full((3, 2), 0.5), np.zeros(3, int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_bins(P, Y, num_bins=0), "num_bins = 0 must be at least 1."),
        (lambda: calibration_bins(P, Y, num_bins=2.5), "num_bins = 2.5 must be a whole number, at least 1."),
        (lambda: calibration_bins(P, Y[:2]), "probabilities have shape (3, 2), labels (2,)"),
        (lambda: calibration_bins(P, Y * 1.0), "labels have dtype float32; they must be integers"),
        (
            lambda: calibration_bins(P, Y, mask=np.ones((3, 1))),
            "mask has shape (3, 1), labels (3,): they must be equal.",
        ),
        (lambda: classification_sums(P, Y[:, None]), "logits have shape (3, 2), labels (3, 1): they must be [..., N]"),
        (lambda: classification_sums(P, Y * 1.0), "labels have dtype float32; they must be integers"),
        (lambda: classification_sums(P, Y, np.ones(2)), "mask has shape (2,), labels (3,): they must be equal."),
        (lambda: expected_calibration_error(P, Y[:2]), "probabilities have shape (3, 2), labels (2,)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
