import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax import layouts


def test_a_tpu_is_told_the_order_of_axes_and_others_are_not():
    array = jnp.arange(24).reshape(2, 3, 4)
    ordered = jax.jit(lambda array: layouts.on_tpu(array, 0, 2, 1))
    np.testing.assert_array_equal(ordered(array), array)
    text = {name: ordered.trace(array).lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "tpu", "cuda")}
    assert {name for name in text if "LayoutConstraint" in text[name]} == {"tpu"}
    assert "dense<[1, 2, 0]>" in text["tpu"]  # XLA names the axis that changes fastest first
