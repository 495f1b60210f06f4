import jax
import numpy as np
import pytest


@pytest.fixture
def random_weights(rng):
    """Gives a model (params, batch_stats) of which none is 0 or 1, so that each is seen to be used.

    They are NumPy's: to compile a network's initialisation takes longer than to compile the network.
    """

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return (rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(np.float32)
        low, high = (0.5, 1.5) if name in ("scale", "var") else (-0.3, 0.3)
        return rng.uniform(low, high, leaf.shape).astype(np.float32)

    return lambda model: jax.tree_util.tree_map_with_path(draw, jax.eval_shape(model.init, jax.random.key(0)))
