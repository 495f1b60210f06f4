import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import CutMix, Mixup
from softaug_jax.augment.mix import mix_targets, partner

SIZE = (8, 10)


def test_mixup_is_the_weighted_sum_with_the_neighbour(rng):
    images = rng.normal(size=(4, *SIZE, 3)).astype(np.float32)
    other = np.array([0.25, 0.25, 0.25, 0.25], np.float32)
    mixed, share = Mixup().apply(jnp.asarray(images), jnp.asarray(other))
    np.testing.assert_allclose(share, 0.75)
    np.testing.assert_allclose(mixed, 0.75 * images + 0.25 * images[[1, 0, 3, 2]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mix", [Mixup(), CutMix()])
def test_zero_draws_change_nothing(mix, rng):
    images = jnp.asarray(rng.normal(size=(2, *SIZE, 3)), jnp.float32)
    draws = jax.tree.map(jnp.zeros_like, mix.sample(jax.random.key(0), 2, SIZE))
    mixed, share = mix.apply(images, draws)
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(share, 1.0)


def test_cutmix_share_is_the_part_of_the_pixels_that_stayed():
    images = jnp.stack([jnp.zeros((*SIZE, 1)), jnp.ones((*SIZE, 1))])
    shares = []
    for seed in range(60):
        mixed, share = CutMix(probability=0.5).apply(images, CutMix().sample(jax.random.key(seed), 2, SIZE))
        np.testing.assert_allclose(share, [1 - mixed[0].mean(), mixed[1].mean()], atol=1e-6)
        shares.append(float(share[0]))
    untouched = np.mean(np.array(shares) == 1.0)
    assert 0.3 < untouched < 0.75  # half of the batches, and the boxes that are empty
    assert min(shares) < 0.5


def test_own_share_has_its_distribution():
    draw = jax.jit(jax.vmap(lambda key: Mixup(1.0).sample(key, 2, SIZE)))
    other = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_array_equal(other[:, 0], other[:, 1])
    counts, _ = np.histogram(other[:, 0], 10, (0, 1))  # Beta(1, 1) is uniform
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_partners_change_places_within_pairs_and_odd_batches_are_refused():
    np.testing.assert_array_equal(partner(jnp.arange(6)), [1, 0, 3, 2, 5, 4])
    with pytest.raises(ValueError, match="A batch of 3 can't be mixed in pairs"):
        partner(jnp.arange(3))


def test_targets_of_pairs_that_count_nothing_stay_finite():
    targets, weights = mix_targets(jnp.eye(2), jnp.zeros(2), jnp.array([0.3, 0.7]))
    assert np.isfinite(targets).all()
    np.testing.assert_array_equal(weights, 0.0)
    np.testing.assert_array_equal(targets, 0.0)


def test_mixing_moves_no_image_between_devices():
    from softaug_jax.train import sharding

    shardings = sharding.over()
    images = jax.ShapeDtypeStruct((32, *SIZE, 3), jnp.float32, sharding=shardings.batch)
    other = jax.ShapeDtypeStruct((32,), jnp.float32, sharding=shardings.batch)
    text = jax.jit(Mixup().apply, out_shardings=shardings.batch).lower(images, other).compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text
