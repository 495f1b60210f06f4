import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from softaug_jax import models
from softaug_jax.models import layers


@pytest.fixture
def norm(rng):
    made = layers.BatchNorm(5, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for variable in (made.scale, made.bias, made.mean, made.var):
        variable.set_value(jnp.asarray(rng.uniform(0.5, 2.0, 5), jnp.float32))
    return made


@pytest.fixture
def x(rng):
    return (2.0 + 3.0 * rng.normal(size=(4, 3, 2, 5))).astype(np.float32)


def affine(norm, x, mean, var):
    return (x - mean) / np.sqrt(var + 1e-5) * np.asarray(norm.scale[...]) + np.asarray(norm.bias[...])


def test_training_normalises_by_the_batch_and_moves_the_statistics_a_tenth(norm, x):
    before = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
    flat = x.reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(norm(x), affine(norm, x, flat.mean(0), flat.var(0)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.9 * before[0] + 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], 0.9 * before[1] + 0.1 * flat.var(0), rtol=1e-5)


def test_groups_are_normalised_apart_and_move_the_statistics_by_their_average(norm, x):
    norm.group = 2
    before = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
    groups = x.reshape(2, -1, 5).astype(np.float64)
    means, variances = groups.mean(1), groups.var(1)
    halves = [affine(norm, x[2 * g : 2 * g + 2], means[g], variances[g]) for g in range(2)]
    np.testing.assert_allclose(norm(x), np.concatenate(halves), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.9 * before[0] + 0.1 * means.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], 0.9 * before[1] + 0.1 * variances.mean(0), rtol=1e-5)


def test_a_group_of_the_whole_batch_is_no_group(norm, x):
    whole = norm(x)
    norm.group = len(x)
    np.testing.assert_array_equal(norm(x), whole)


def test_evaluation_takes_no_groups_so_that_any_batch_will_do(norm, x):
    norm.group = 3
    evaluating = nnx.view(norm, use_running_average=True)
    expected = affine(norm, x, np.asarray(norm.mean[...]), np.asarray(norm.var[...]))
    np.testing.assert_allclose(evaluating(x), expected, rtol=1e-5, atol=1e-5)


def test_a_group_must_divide_the_batch(norm, x):
    norm.group = 3
    with pytest.raises(ValueError, match="norm_group = 3 does not divide the batch of 4"):
        norm(x)


def test_evaluation_normalises_by_the_running_statistics_and_leaves_them(norm, x):
    evaluating = nnx.view(norm, use_running_average=True)
    before = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
    np.testing.assert_allclose(evaluating(x), affine(norm, x, *before), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(evaluating.mean[...], before[0])
    np.testing.assert_array_equal(evaluating.var[...], before[1])


def test_vectors_are_normalised_as_images_of_one_pixel(norm, rng):
    x = rng.normal(size=(6, 5)).astype(np.float32)
    before = np.asarray(norm.mean[...])
    np.testing.assert_allclose(norm(x), affine(norm, x, x.mean(0), x.var(0)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.9 * before + 0.1 * x.mean(0), rtol=1e-5)
    evaluating = nnx.view(norm, use_running_average=True)
    np.testing.assert_array_equal(evaluating(x), evaluating(x.reshape(6, 1, 1, 5)).reshape(6, 5))


def test_scale_and_bias_may_be_left_out(x):
    bare = layers.BatchNorm(5, affine=False, dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert not jax.tree.leaves(nnx.state(bare, nnx.Param))
    flat = x.reshape(-1, 5).astype(np.float64)
    np.testing.assert_allclose(bare(x), (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5), rtol=1e-4, atol=1e-5)


def test_bfloat16_rounds_the_result_alone(norm):
    """A mean of 300.7 would be 300 if it were rounded to bfloat16."""
    norm.mean.set_value(jnp.full(5, 300.7))
    norm.var.set_value(jnp.full(5, 1.0))
    evaluating = nnx.view(norm, use_running_average=True)
    evaluating.dtype = jnp.bfloat16
    y = evaluating(jnp.full((1, 1, 1, 5), 300.0))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), affine(norm, np.full((1, 1, 1, 5), 300.0), 300.7, 1.0), rtol=0.01)


def test_keys_are_those_of_flax():
    ours, theirs = layers.Keys(jax.random.key(7)), nnx.Rngs(jax.random.key(7))
    for _ in range(3):
        assert (jax.random.key_data(ours.params()) == jax.random.key_data(theirs.params())).all()


@pytest.mark.parametrize("groups", [1, 8])
def test_convolutions_start_as_he_et_al_say(groups):
    kernel = np.asarray(layers.conv(64, 512, 3, groups=groups, dtype=jnp.float32, rngs=nnx.Rngs(0)).kernel[...])
    assert kernel.shape == (3, 3, 64 // groups, 512)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 512)), rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=1e-3)


def test_a_networks_convolutions_are_cut_from_one_draw_and_start_the_same_way():
    model = models.create("resnet8", num_classes=10, channels=3)
    draws = [eqn for eqn in jax.make_jaxpr(model.init)(jax.random.key(0)).eqns if "random_bits" in str(eqn)]
    assert len(draws) == 2, "convolutions, and the classifier: XLA compiles each by itself"
    params, _ = jax.jit(model.init)(jax.random.key(0))
    kernels = [np.asarray(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    units = [kernel.ravel() / layers.he_deviation(kernel.shape) for kernel in kernels]
    assert len(kernels) == 7 and len(np.unique(np.concatenate(units))) > 0.99 * sum(map(len, units))
    for unit in units:
        np.testing.assert_allclose([unit.mean(), unit.std()], [0, 1], atol=4 / np.sqrt(len(unit)))


def test_a_kernel_that_a_network_sets_while_it_is_built_stays_as_it_is():
    def build(rngs):
        first, last = (layers.conv(3, 3, 3, dtype=jnp.float32, rngs=rngs) for _ in range(2))
        last.kernel[...] = 2 * first.kernel[...]
        return nnx.List([first, last, layers.BatchNorm(3, dtype=jnp.float32, rngs=rngs)])

    call = lambda network, images: images
    params, _ = models.functional(build, train_call=call, predict_call=call).init(jax.random.key(0))
    first, last = (params[i]["kernel"] for i in range(2))
    assert np.asarray(first).all()
    np.testing.assert_array_equal(last, 2 * first)


def test_the_classifier_starts_as_pytorchs():
    kernel = np.asarray(layers.classifier(400, 50, rngs=nnx.Rngs(0)).kernel[...])
    np.testing.assert_allclose(np.abs(kernel).max(), 1 / 20, rtol=1e-3)
    np.testing.assert_allclose(kernel.std(), 1 / 20 / np.sqrt(3), rtol=0.02)


def test_the_average_of_bfloat16_is_float32():
    x = jnp.full((1, 64, 64, 1), 1.0078125, jnp.bfloat16)
    average = layers.global_average(x)
    assert (average.dtype, float(average[0, 0])) == (jnp.float32, 1.0078125)
