import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softaug_jax.softening import MODES, confidence, pair_confidence, soft_targets, soften

ONE_ULP = 2.0**-23
unit = st.floats(0, 1, width=32, allow_subnormal=False)  # XLA flushes subnormal numbers to zero
exponents = st.floats(0.25, 8, width=32)


def equation_7(v, k, p_min, p_max=1.0):
    """In float64, as the paper writes it."""
    v = np.clip(np.asarray(v, float), 0, 1)
    return p_max - (p_max - p_min) * (1 - v) ** k


@pytest.mark.parametrize(("k", "p_min", "p_max"), [(2.0, 0.01, 1.0), (1, 0.1, 1), (4.0, 0.0, 0.9), (0.5, 0.5, 0.5)])
def test_confidence_is_equation_7(k, p_min, p_max):
    v = np.linspace(0, 1, 41)
    np.testing.assert_allclose(confidence(v, k=k, p_min=p_min, p_max=p_max), equation_7(v, k, p_min, p_max), rtol=2e-6)


def test_confidence_by_hand():
    # 1 - 0.9 * 0.5^2, and with p_max = 0.8: 0.8 - 0.6 * 0.25^3
    np.testing.assert_allclose(confidence(0.5, p_min=0.1), 0.775, rtol=1e-6)
    np.testing.assert_allclose(confidence(0.75, k=3, p_min=0.2, p_max=0.8), 0.790625, rtol=1e-6)


@given(unit, unit, exponents, unit, unit)
def test_confidence_is_monotone_and_between_its_ends(v, other, k, a, b):
    p_min, p_max = sorted((a, b))
    low, high = confidence(np.float32(sorted((v, other))), k=k, p_min=p_min, p_max=p_max)
    assert low <= high + ONE_ULP
    assert p_min - ONE_ULP <= low
    assert high <= p_max + ONE_ULP


@given(exponents, unit, unit)
def test_confidence_is_exact_at_both_ends(k, a, b):
    p_min, p_max = sorted((a, b))
    ends = jax.jit(confidence)(jnp.array([0.0, 1.0]), k=k, p_min=p_min, p_max=p_max)
    np.testing.assert_array_equal(ends, np.float32([p_min, p_max]))
    np.testing.assert_array_equal(confidence(jnp.array([0.0, 1.0]), k=k, p_min=p_min, p_max=p_max), ends)


def test_visibility_is_clipped_and_nan_is_kept():
    np.testing.assert_array_equal(confidence(jnp.array([-0.5, 1.5]), p_min=0.1), np.float32([0.1, 1.0]))
    assert jnp.isnan(confidence(jnp.nan, p_min=0.1))


def test_visibility_may_be_integer_or_half_precision():
    np.testing.assert_array_equal(confidence(jnp.array([0, 1]), p_min=0.25), [0.25, 1.0])
    p = confidence(jnp.array(0.5, jnp.bfloat16), p_min=0.1)
    assert p.dtype == jnp.float32
    np.testing.assert_allclose(p, 0.775, rtol=1e-6)


def test_one_curve_a_sample_or_a_class_is_equation_11(rng):
    v = rng.uniform(size=6)
    labels = np.array([0, 1, 2, 2, 1, 0])
    k, p_min, p_max = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.1, 0.3]), np.array([0.8, 0.9, 1.0])
    expected = [equation_7(v[i], k[c], p_min[c], p_max[c]) for i, c in enumerate(labels)]
    p = confidence(v, k=k[labels], p_min=p_min[labels], p_max=p_max[labels])
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    targets, weights = soften(labels, v, num_classes=3, k=k[labels], p_min=p_min[labels], p_max=p_max[labels])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    np.testing.assert_allclose(targets[np.arange(6), labels], expected, rtol=1e-6)


def test_a_sweep_over_k_broadcasts_over_leading_axes():
    v, k = jnp.array([0.25, 0.5, 1.0]), jnp.array([[1.0], [2.0]])
    targets, weights = soften(jnp.array([0, 1, 1]), v, num_classes=2, k=k)
    np.testing.assert_allclose(weights, equation_7(v, np.array([[1], [2]]), 0.5), rtol=1e-6)
    np.testing.assert_array_equal(targets[1], soften(jnp.array([0, 1, 1]), v, num_classes=2, k=jnp.full(3, 2.0))[0])


@pytest.mark.parametrize("argument", ["k", "p_min", "p_max"])
def test_values_of_examples_broadcast_over_leading_axes(argument, rng):
    v, values = rng.uniform(size=(2, 3)), np.array([0.5, 0.7, 0.9])
    values_of_all = {"p_min": 0.1, argument: values}
    np.testing.assert_allclose(confidence(v, **values_of_all), equation_7(v, **{"k": 2.0, **values_of_all}), rtol=1e-6)


@pytest.mark.parametrize("k", [0.25, 0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("traced_k", [False, True])
def test_gradients_are_finite_at_the_edges_and_right_between(k, traced_k):
    v = jnp.array([0.0, 0.25, 1.0])
    total = lambda v, k: confidence(v, k=k, p_min=0.1).sum()
    if traced_k:
        dv, dk = jax.jit(jax.grad(total, argnums=(0, 1)))(v, k)
        hidden = 0.75
        np.testing.assert_allclose(dk, -0.9 * hidden**k * np.log(hidden), rtol=1e-5)  # 0 at v = 0 and at v = 1
    else:
        dv = jax.grad(total)(v, k)
    assert np.isfinite(dv).all()
    np.testing.assert_allclose(dv[1], 0.9 * k * 0.75 ** (k - 1), rtol=1e-5)
    assert dv[2] == 0


def test_soft_targets_by_hand():
    targets = soft_targets(jnp.array([3, 0]), jnp.array([0.7, 0.25]), 4)
    np.testing.assert_allclose(targets, [[0.1, 0.1, 0.1, 0.7], [0.25, 0.25, 0.25, 0.25]], rtol=1e-6)


@given(st.integers(2, 1000), unit, st.data())
def test_soft_targets_sum_to_one(num_classes, p, data):
    label = data.draw(st.integers(0, num_classes - 1))
    targets = np.asarray(soft_targets(label, np.float32(p), num_classes))
    np.testing.assert_allclose(targets.sum(dtype=float), 1, atol=1e-6)
    assert targets[label] == np.float32(p)
    assert len(set(np.delete(targets, label))) == 1


def test_soft_targets_broadcast_a_scalar_and_leading_axes():
    labels = jnp.arange(6).reshape(2, 3)
    assert soft_targets(labels, 0.5, 6).shape == (2, 3, 6)
    one_by_one = [soft_targets(label, 0.5, 6) for label in range(6)]
    np.testing.assert_array_equal(soft_targets(labels, 0.5, 6).reshape(6, 6), np.stack(one_by_one))
    p = jnp.linspace(0, 1, 5)
    np.testing.assert_array_equal(soft_targets(2, p, 3)[:, 2], p)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_labels_of_a_narrow_type_have_one_true_class(dtype):
    targets, _ = soften(np.array([5], dtype), 1.0, num_classes=300)
    np.testing.assert_array_equal(np.nonzero(targets), [[0], [5]])


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_gets_no_extra_mass(label):
    np.testing.assert_allclose(soft_targets(label, 0.5, 3), [0.25, 0.25, 0.25])


@pytest.mark.parametrize("mode", MODES)
def test_modes_soften_what_they_say(mode):
    v, labels = np.array([0.0, 0.5, 1.0]), np.array([0, 1, 2])
    targets, weights = soften(labels, v, num_classes=10, mode=mode)
    p = equation_7(v, 2, 0.1)  # p_min None is chance
    on_true_class = p if mode in ("target", "target_and_weight") else np.ones(3)
    np.testing.assert_allclose(weights, p if mode in ("weight", "target_and_weight") else np.ones(3), rtol=1e-6)
    expected = np.repeat((1 - on_true_class)[:, None] / 9, 10, 1)
    expected[np.arange(3), labels] = on_true_class
    np.testing.assert_allclose(targets, expected, rtol=1e-6, atol=1e-7)


def test_the_default_mode_is_both():
    both = soften(1, 0.5, num_classes=3, mode="target_and_weight")
    np.testing.assert_array_equal(soften(1, 0.5, num_classes=3)[0], both[0])
    np.testing.assert_array_equal(soften(1, 0.5, num_classes=3)[1], both[1])


def test_p_max_is_label_smoothing_at_full_visibility():
    targets, _ = soften(jnp.array([1]), jnp.array([1.0]), num_classes=3, mode="target", p_max=0.8)
    np.testing.assert_allclose(targets, [[0.1, 0.8, 0.1]], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_jit_and_vmap_equal_eager(mode, rng):
    v, labels = rng.uniform(size=8).astype(np.float32), rng.integers(0, 5, 8)
    run = lambda labels, v: soften(labels, v, num_classes=5, mode=mode, k=1.5)
    expected = run(labels, v)
    for transformed in (jax.jit(run), jax.vmap(run), jax.jit(jax.vmap(run))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), transformed(labels, v), expected)


@pytest.mark.parametrize(("hypothesis", "k"), [("sa1", 4.0), ("sa2", 4.0), ("sa1", 1.0), ("sa2", 0.5)])
def test_pair_confidence_is_equations_9_and_10(hypothesis, k):
    iou = np.linspace(0, 1, 21)
    base = 1 - iou if hypothesis == "sa1" else iou
    expected = 1 - (1 - 0.2) * base**k
    np.testing.assert_allclose(pair_confidence(iou, k=k, p_min=0.2, hypothesis=hypothesis), expected, rtol=1e-5)


def test_pair_confidence_defaults():
    np.testing.assert_allclose(pair_confidence(jnp.array([0.0, 0.5, 1.0])), [0, 1 - 0.5**4, 1])


TWO = np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confidence(0.5, k=0, p_min=0.1), "k = 0 must be greater than 0."),
        (lambda: confidence(0.5, k=-2.0, p_min=0.1), "k = -2.0 must be greater than 0."),
        (lambda: confidence(0.5, k=np.array([1.0, -1.0]), p_min=0.1), "k = [ 1. -1.] must be greater than 0."),
        (lambda: confidence(0.5, p_min=-0.1), "p_min = -0.1 must be at least 0."),
        (lambda: confidence(0.5, p_min=0.9, p_max=0.8), "p_min = 0.9 must be at most 0.8."),
        (lambda: confidence(0.5, p_min=0.1, p_max=1.1), "p_max = 1.1 must be at most 1."),
        (lambda: confidence(0.5, p_min=0.0, p_max=-0.1), "p_max = -0.1 must be at least 0."),
        (lambda: soft_targets(TWO, 1.5, 3), "confidence = 1.5 must be at most 1."),
        (lambda: soft_targets(TWO, -0.5, 3), "confidence = -0.5 must be at least 0."),
        (lambda: soft_targets(TWO, 0.5, 1), "num_classes = 1 must be at least 2."),
        (lambda: soft_targets(TWO, 0.5, 2.5), "num_classes = 2.5 must be a whole number, at least 2."),
        (lambda: soft_targets(TWO * 1.0, 0.5, 3), "labels have dtype float32; they must be integers"),
        (lambda: soft_targets(TWO, jnp.ones((2, 1)), 3), "confidence has shape (2, 1), labels (2,)"),
        (lambda: soft_targets(TWO, jnp.ones(1), 3), "confidence has shape (1,), labels (2,)"),
        (lambda: soft_targets(TWO, jnp.ones(3), 3), "confidence has shape (3,), labels (2,)"),
        (lambda: soften(TWO, jnp.ones((2, 1)), num_classes=3), "has shape (2, 1), labels (2,)"),
        (
            lambda: soften(TWO, jnp.ones(3), num_classes=3),
            "p_min, p_max) has shape (3,), labels (2,)",
        ),
        (lambda: soften(TWO, jnp.ones(2), num_classes=3, k=np.ones(3)), "visibility (2,), k (3,), p_min (), p_max ()"),
        (lambda: confidence(0.5, p_min=np.zeros(3), p_max=np.ones(2)), "p_min (3,), p_max (2,)"),
        (lambda: soften(TWO, 0.5, num_classes=1), "num_classes = 1 must be at least 2."),
        (lambda: soften(TWO, 0.5, num_classes=3, mode="both"), "mode = 'both' is unknown. Choose from none, target, "),
        (lambda: pair_confidence(0.5, k=0), "k = 0 must be greater than 0."),
        (lambda: pair_confidence(0.5, p_min=1.5), "p_min = 1.5 must be at most 1.0."),
        (lambda: pair_confidence(0.5, hypothesis="sa3"), "hypothesis = 'sa3' is unknown. Choose from sa1, sa2."),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("labels", [jnp.zeros((4, 1), int), jnp.eye(4, 10, dtype=int)])
def test_labels_of_another_shape_are_told_what_to_take_of_them(labels):
    with pytest.raises(ValueError, match=r"labels\[:, 0\] of labels \[B, 1\], labels.argmax\(-1\) of one-hot rows"):
        soften(labels, jnp.ones(4), num_classes=10)


def test_one_hot_floats_are_told_of_their_type_first():
    with pytest.raises(ValueError, match="^labels have dtype float32; .* no one-hot rows"):
        soften(jnp.eye(4, 10), jnp.ones(4), num_classes=10)


def test_a_traced_number_of_classes_is_told_how_to_be_static():
    with pytest.raises(ValueError, match="^num_classes is traced; .* static_argnames"):
        jax.jit(lambda n: soften(jnp.zeros(2, int), jnp.ones(2), num_classes=n))(10)
