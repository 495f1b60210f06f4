import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import optim
from tests.train.helpers import config


def test_update_is_pytorchs_sgd_with_nesterov_momentum_and_coupled_decay(rng):
    total, rate, momentum, decay = 10, 0.1, 0.9, 5e-4
    sgd = optim.optimizer(config(), total)
    p = rng.normal(size=3)
    params, state = jnp.float32(p), sgd.init(jnp.float32(p))
    velocity = np.zeros(3)
    for step in range(total):
        grad = rng.normal(size=3)
        updates, state = sgd.update(jnp.float32(grad), state, params)
        params = optax.apply_updates(params, updates)
        g = grad + decay * p
        velocity = momentum * velocity + g
        p = p - rate * (1 + np.cos(np.pi * step / total)) / 2 * (g + momentum * velocity)
        np.testing.assert_allclose(params, p, rtol=2e-5)


def test_rate_falls_from_the_configs_to_zero():
    rate = optim.learning_rate(config(), 100)
    np.testing.assert_allclose([rate(0), rate(50), rate(100)], [0.1, 0.05, 0.0], atol=1e-9)


def test_rate_rises_linearly_to_its_peak_before_it_falls():
    chosen = config(optimizer__warmup_epochs=1, optimizer__learning_rate=0.4)  # of two epochs
    rate = optim.learning_rate(chosen, 8)
    falling = [0.4 * (1 + np.cos(np.pi * step / 4)) / 2 for step in range(5)]
    np.testing.assert_allclose([rate(step) for step in range(9)], [0.1, 0.2, 0.3, 0.4, *falling], atol=1e-7)


def test_a_warm_up_of_one_step_has_the_peaks_rate():
    rate = optim.learning_rate(config(optimizer__warmup_epochs=0.5), 4)
    np.testing.assert_allclose([rate(0), rate(1), rate(4)], [0.1, 0.1, 0.0], atol=1e-8)


def test_a_warm_up_that_rounds_to_the_whole_run_is_refused():
    chosen = config(arg="epochs=10", optimizer__warmup_epochs=9.99)
    with pytest.raises(
        UsageError, match="warmup_epochs = 9.99 leaves nothing of config.epochs = 10, which are 45 steps"
    ):
        optim.learning_rate(chosen, 45)
    assert optim.learning_rate(chosen, 4500)(4499) > 0  # a step for each 1/450 of an epoch


def test_only_kernels_decay_where_the_config_says_so():
    kernels = {"conv": jnp.ones((3, 3, 1, 2)), "classifier": jnp.ones((2, 2))}
    vectors = {"scale": jnp.ones(2), "bias": jnp.ones(2)}
    params = {**kernels, **vectors}
    for decayed, expected in (("all", set(params)), ("kernels", set(kernels))):
        sgd = optim.optimizer(config(optimizer__decayed=decayed), 10)
        updates, _ = sgd.update(jax.tree.map(jnp.zeros_like, params), sgd.init(params), params)
        assert {name for name, update in updates.items() if (update < 0).all()} == expected
        assert {name for name, update in updates.items() if (update == 0).all()} == set(params) - expected
