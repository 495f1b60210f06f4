import jax.numpy as jnp
import pytest

from softaug_jax import target
from softaug_jax.models import compute_dtype
from softaug_jax.train import feed


def test_the_platform_is_jaxs_own_unless_another_is_compiled_for():
    assert target.platform() == "cpu"
    with target.compiling_for("tpu", 4):
        assert target.platform() == "tpu"
        with target.compiling_for("gpu", 1):
            assert target.platform() == "gpu"
        assert target.platform() == "tpu"
    assert target.platform() == "cpu"


def test_a_device_is_alone_if_the_machine_that_is_compiled_for_has_one(monkeypatch):
    assert not target.is_alone()
    with target.compiling_for("gpu", 1):
        assert target.is_alone()
    monkeypatch.setattr(target.jax, "device_count", lambda: 1)
    assert target.is_alone()
    with target.compiling_for("tpu", 4):
        assert not target.is_alone()


def test_an_error_inside_restores_it():
    with pytest.raises(RuntimeError, match="inside"), target.compiling_for("tpu", 4):
        raise RuntimeError("inside")
    assert target.platform() == "cpu"


def test_what_depends_on_the_platform_asks_here():
    assert (compute_dtype("auto"), feed.default_steps_per_dispatch()) == (jnp.float32, 1)
    with target.compiling_for("tpu", 4):
        assert (compute_dtype("auto"), feed.default_steps_per_dispatch()) == (jnp.bfloat16, 64)
