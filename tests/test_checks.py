import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import checks


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0, dict(above=0), "x = 0 must be greater than 0."),
        (-0.5, dict(at_least=0), "x = -0.5 must be at least 0."),
        (1.5, dict(at_most=1), "x = 1.5 must be at most 1."),
        (np.array([0.2, 1.5]), dict(at_most=1), "x = [0.2 1.5] must be at most 1."),
        (np.array([0.2, 0.4]), dict(at_most=np.array([0.3, 0.3])), "x = [0.2 0.4] must be at most [0.3 0.3]."),
        (float("nan"), dict(at_least=0), "x = nan must be finite."),
        (np.float32("inf"), {}, "x = inf must be finite."),
        (2**64, dict(at_most=1), "x = 18446744073709551616 must be at most 1."),
    ],
)
def test_a_value_out_of_range_is_named(value, bounds, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_scalar("x", value, **bounds)


def test_bounds_themselves():
    checks.check_scalar("x", 0.0, at_least=0, at_most=0)
    with pytest.raises(ValueError, match="greater"):
        checks.check_scalar("x", 0.0, above=0)


def test_jax_arrays_pass_unseen_traced_or_not():
    checks.check_scalar("x", jnp.array(-1.0), at_least=0)
    checks.check_scalar("x", 2.0, at_most=jnp.array(1.0))
    assert jax.jit(lambda x: [checks.check_scalar("x", x, above=0), x][1])(-1.0) == -1.0


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_counts(value):
    assert checks.check_count("n", value, at_least=3) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [(2, "n = 2 must be at least 3."), (3.0, "n = 3.0 must be a whole number, at least 3.")],
)
def test_counts_that_are_not(value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checks.check_count("n", value, at_least=3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64"])
def test_labels_of_any_integer_type_are_int32(dtype):
    labels = checks.as_labels(np.array([5, 0], dtype))
    assert labels.dtype == jnp.int32
    np.testing.assert_array_equal(labels, [5, 0])


@pytest.mark.parametrize("labels", [np.eye(2, dtype=np.float32), np.array([True, False])])
def test_what_is_no_class_number_is_refused(labels):
    with pytest.raises(ValueError, match=rf"^labels have dtype {labels.dtype}; .* no one-hot rows.*mix_targets\.$"):
        checks.as_labels(labels)


def test_choices_are_listed():
    checks.check_choice("mode", "a", ("a", "b"))
    with pytest.raises(ValueError, match=r"^mode = 'c' is unknown. Choose from a, b\.$"):
        checks.check_choice("mode", "c", ("a", "b"))


def test_broadcast_shapes_are_named():
    assert checks.check_broadcast(a=(4, 1), b=(3,)) == (4, 3)
    with pytest.raises(ValueError, match=r"do not fit together: a \(4,\), b \(3,\)"):
        checks.check_broadcast(a=(4,), b=(3,))


@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
def test_last_axis(shape):
    checks.check_last_axis("offsets", np.zeros((5, 2)), 2, "(ty, tx)")
    with pytest.raises(ValueError, match=rf"^offsets has shape {re.escape(str(shape))}; .* \(ty, tx\), of length 2"):
        checks.check_last_axis("offsets", np.zeros(shape), 2, "(ty, tx)")
