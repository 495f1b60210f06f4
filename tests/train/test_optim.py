import jax.numpy as jnp
import numpy as np
import optax

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
