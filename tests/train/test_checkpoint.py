import jax
import numpy as np
import pytest

from softaug_jax.train import setup, sharding
from softaug_jax.train.checkpoint import Checkpoints
from tests.train.helpers import assert_states_equal, config


@pytest.mark.parametrize("method", ["none", "online_label_smoothing"])
def test_a_state_comes_back_as_it_was_with_what_its_targets_remember(tmp_path, method, rng):
    parts = setup.build(config(arg=f"method={method}"))
    state = jax.jit(parts.initial_state)()
    state = state._replace(memory=jax.tree.map(lambda x: x + rng.normal(size=x.shape).astype(x.dtype), state.memory))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, 3, {"best_top1_error": 0.5})
    restored, extra = checkpoints.restore(jax.eval_shape(parts.initial_state), sharding.over().replicated)
    checkpoints.close()
    assert extra == {"best_top1_error": 0.5}
    assert_states_equal(restored, state)
    assert bool(jax.tree.leaves(restored.memory)) == (method != "none")
    assert not np.may_share_memory(np.asarray(jax.tree.leaves(restored.params)[0]), jax.tree.leaves(state.params)[0])
