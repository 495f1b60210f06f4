import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import numerics


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.0, 4.5])
def test_power_is_numpys_away_from_zero_and_its_gradient_is_zero_at_zero(exponent):
    base = np.array([0.0, 1e-6, 0.2, 1.0], np.float32)
    np.testing.assert_allclose(numerics.power(base, exponent), base.astype(float) ** exponent, rtol=1e-5)
    slope = jax.vmap(jax.grad(numerics.power), (0, None))(base, exponent)
    np.testing.assert_allclose(slope[1:], exponent * base[1:].astype(float) ** (exponent - 1), rtol=1e-5)
    assert slope[0] == 0


def test_power_keeps_nan():
    assert jnp.isnan(numerics.power(jnp.nan, 2.0))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "bfloat16", "float16", "float32"])
def test_as_float_is_float32(dtype):
    assert numerics.as_float(jnp.ones(3, dtype)).dtype == jnp.float32


def test_as_float_keeps_wider_types():
    with jax.enable_x64(True):
        assert numerics.as_float(jnp.ones(3, "float64")).dtype == jnp.float64


def test_unit_is_numpys_and_its_gradient_is_a_projection(rng):
    x, g = rng.normal(size=(2, 5, 3))
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    y, pull = jax.vjp(numerics.unit, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(y, x / length, rtol=1e-5)
    # What is along x does not turn it.
    along = (g * x).sum(-1, keepdims=True) * x / length**2
    np.testing.assert_allclose(pull(jnp.asarray(g, jnp.float32))[0], (g - along) / length, rtol=1e-4, atol=1e-5)


def test_unit_leaves_zeros_with_no_gradient_and_keeps_nan():
    x = jnp.array([[0.0, 0.0], [0.0, jnp.nan]])
    y, pull = jax.vjp(numerics.unit, x)
    np.testing.assert_array_equal(y[0], 0)
    np.testing.assert_array_equal(pull(jnp.ones_like(x))[0][0], 0)
    assert jnp.isnan(y[1]).all()
