import math
import platform
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from softaug_jax.augment import Chain, Member, RandAugment, TrivialAugment, blend
from softaug_jax.augment.magnitudes import OPERATIONS, randaugment_space, trivialaugment_space
from softaug_jax.augment.policy import PolicyDraws, apply_policy
from softaug_jax.train import sharding
from tests.augment import pillow_policy

# Elsewhere Pillow is compiled with fused multiply-adds, which may end up on the other side of a whole grey level.
PILLOW_ROUNDS_TWICE = platform.machine().lower() in ("x86_64", "amd64")
CASES = [(name, bin_number, sign) for name in pillow_policy.NAMES for bin_number in range(31) for sign in (0, 1)]
PICTURES = ["32x32", "64x48", "111x124", "digits"]


@pytest.fixture(scope="module")
def photographs():
    return load_sample_images().images


def cut(pictures, which):
    """Real images of one size, uint8 [N, H, W, C]."""
    china, flower = pictures
    if which == "32x32":
        return np.stack([china[100:132, 200:232], china[300:332, 20:52], flower[200:232, 300:332]])
    if which == "64x48":
        return flower[None, 150:214, 250:298]
    if which == "111x124":
        return china[None, 200:311, 100:224]
    digits = load_digits().images[[3, 8, 10]] * (255 / 16)
    return digits.astype(np.uint8)[..., None]


def our_space(policy, size):
    return randaugment_space(31, size) if policy == "rand" else trivialaugment_space(31)


def draws_of(cases):
    """One slot for each (name, bin, sign)."""
    names, bins, signs = zip(*cases, strict=True)
    operations = [OPERATIONS.index(name) for name in names]
    return PolicyDraws(*(jnp.asarray(drawn, jnp.int32)[:, None] for drawn in (operations, bins, signs)))


@pytest.fixture
def photo_batch(photographs, rng):
    """Sixteen 32 x 32 patches of the photographs."""
    corners = rng.integers(0, 380, (16, 2))
    return jnp.asarray(np.stack([photographs[i % 2][y : y + 32, x : x + 32] for i, (y, x) in enumerate(corners)]))


@pytest.mark.parametrize("policy", ["rand", "trivial"])
def test_magnitudes_are_those_of_the_papers(policy):
    for size in [(32, 32), (8, 224)]:
        expected, ours = pillow_policy.spaces(size)[policy], our_space(policy, size)
        assert set(ours) == set(expected)
        for name, magnitudes in expected.items():
            np.testing.assert_allclose(ours[name], magnitudes, rtol=1e-6, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("which", PICTURES)
@pytest.mark.parametrize("policy", ["rand", "trivial"])
def test_every_operation_bin_and_sign_is_pillows(policy, which, photographs):
    images = cut(photographs, which)
    space = our_space(policy, images.shape[1:3])
    cases = CASES * len(images)
    batch = np.repeat(images, len(CASES), axis=0)
    ours = np.asarray(jax.jit(lambda x, draws: apply_policy(x, draws, space)[0])(batch, draws_of(cases)))
    for image, (name, bin_number, sign), result in zip(batch, cases, ours, strict=True):
        expected = pillow_policy.operate_on_pixels(image, name, space, bin_number, sign)
        off = np.abs(result.astype(int) - expected)
        allowed = 0 if PILLOW_ROUNDS_TWICE or name not in pillow_policy.ENHANCERS else 1
        assert off.max() <= allowed, f"{name}, bin {bin_number}, sign {sign}: {(off > 0).mean():.1%} differ"


def test_operations_are_applied_in_their_slots_order(photo_batch):
    policy = RandAugment(num_ops=3, magnitude=17)
    draws = policy.sample(jax.random.key(3), 16, (32, 32))
    ours, visibility = jax.jit(policy.apply)(photo_batch, draws)
    space = our_space("rand", (32, 32))
    expected = np.array(photo_batch)
    for slot in range(3):
        for i in range(16):
            name = OPERATIONS[draws.operation[i, slot]]
            expected[i] = pillow_policy.operate_on_pixels(expected[i], name, space, 17, bool(draws.negative[i, slot]))
    off = np.abs(np.asarray(ours).astype(int) - expected)
    assert (off == 0).all() if PILLOW_ROUNDS_TWICE else (off <= 1).mean() > 0.9
    np.testing.assert_array_equal(visibility, np.ones(16))


@pytest.mark.parametrize("policy", [RandAugment(), TrivialAugment()])
def test_zero_draws_and_a_switched_off_member_change_nothing(policy, photo_batch):
    draws = policy.sample(jax.random.key(0), 16, (32, 32))
    zeros = jax.tree.map(jnp.zeros_like, draws)
    apply = jax.jit(Chain((Member("policy", policy, until_step=5),)).apply)
    np.testing.assert_array_equal(apply(photo_batch, {"policy": zeros}, 4)[0], photo_batch)
    assert (apply(photo_batch, {"policy": draws}, 4)[0] != photo_batch).any()
    np.testing.assert_array_equal(apply(photo_batch, {"policy": draws}, 5)[0], photo_batch)


@pytest.mark.slow
def test_jit_equals_eager(photo_batch):
    policy = TrivialAugment()
    draws = policy.sample(jax.random.key(7), 16, (32, 32))
    jitted = jax.jit(policy.sample, static_argnums=(1, 2))(jax.random.key(7), 16, (32, 32))
    jax.tree.map(np.testing.assert_array_equal, jitted, draws)
    eager = policy.apply(photo_batch, draws)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(policy.apply)(photo_batch, draws), eager)


@pytest.mark.parametrize("policy", [RandAugment(), TrivialAugment()])
def test_one_by_one_and_sharded_batches_are_the_same(policy, photo_batch):
    draws = policy.sample(jax.random.key(7), 16, (32, 32))
    apply = jax.jit(policy.apply)
    expected = np.asarray(apply(photo_batch, draws)[0])
    for i in range(16):
        one = jax.tree.map(lambda drawn: drawn[i : i + 1], draws)  # noqa: B023
        np.testing.assert_array_equal(apply(photo_batch[i : i + 1], one)[0][0], expected[i])
    split = jax.device_put((photo_batch, draws), sharding.over().batch)
    np.testing.assert_array_equal(apply(*split)[0], expected)
    program = apply.lower(*split).compile().as_text()
    assert "all-" not in program and "collective" not in program


def test_operations_signs_and_bins_are_drawn_uniformly():
    count = 40_000
    draws = RandAugment(num_ops=2, magnitude=4).sample(jax.random.key(11), count, (32, 32))
    pairs = np.asarray(draws.operation[:, 0] * 14 + draws.operation[:, 1])
    assert_uniform(pairs, 14 * 14)
    assert_uniform(np.asarray(draws.negative).reshape(-1), 2)
    assert set(np.asarray(draws.magnitude).reshape(-1)) == {4}
    draws = TrivialAugment().sample(jax.random.key(12), count, (32, 32))
    operation, magnitude, negative = (np.asarray(drawn)[:, 0] for drawn in draws)
    assert_uniform(operation * 2 + negative, 28)
    assert_uniform(magnitude, 31)
    assert_uniform(operation * 31 + magnitude, 14 * 31)


def assert_uniform(values, choices):
    """Every choice occurs as often as it should, within five standard deviations."""
    counts = np.bincount(values, minlength=choices)
    assert len(counts) == choices
    expected = len(values) / choices
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected * (1 - 1 / choices))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_other_types_are_taken_as_grey_levels(dtype, photo_batch):
    apply = jax.jit(TrivialAugment().apply)
    draws = TrivialAugment().sample(jax.random.key(1), 16, (32, 32))
    ours, _ = apply(photo_batch.astype(dtype), draws)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, apply(photo_batch, draws)[0].astype(dtype))


@pytest.mark.parametrize("policy", [RandAugment(), TrivialAugment()])
def test_an_empty_batch_stays_empty(policy):
    images, visibility = policy.apply(jnp.zeros((0, 8, 8, 3), jnp.uint8), policy.sample(jax.random.key(0), 0, (8, 8)))
    assert images.shape == (0, 8, 8, 3) and images.dtype == jnp.uint8 and visibility.shape == (0,)


def test_double_precision_changes_no_pixel(photo_batch):
    draws = draws_of([(name, 20, 0) for name in OPERATIONS] + [("Rotate", 20, 1), ("Contrast", 20, 1)])
    policy = TrivialAugment()
    expected, _ = jax.jit(policy.apply)(photo_batch, draws)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(jax.jit(policy.apply)(photo_batch, draws)[0], expected)


def test_the_mean_grey_of_a_large_image_is_right():
    planes = [jnp.full((1, 2100, 2100), 255)]
    contrast = jnp.array([OPERATIONS.index("Contrast")])
    (blended,) = blend.enhance([plane.at[0, 0, 0].set(0) for plane in planes], contrast, jnp.zeros(1))
    assert blended.min() == 255


def test_means_round_half_up_as_in_exact_arithmetic():
    for count in (13, 2, 24, 25):
        totals = np.arange(255 * count + 1, dtype=np.int32)
        exact = [math.floor(Fraction(int(total), count) + Fraction(1, 2)) for total in totals]
        np.testing.assert_array_equal(blend._rounded_quotient(jnp.asarray(totals), count), exact)


def test_mistakes_are_named():
    draws = RandAugment().sample(jax.random.key(0), 2, (8, 8))
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8, 4\).* 1 or 3 channels"):
        RandAugment().apply(jnp.zeros((2, 8, 8, 4), jnp.uint8), draws)
    with pytest.raises(ValueError, match="magnitude = 31 must be a bin, at least 0 and below 31"):
        RandAugment(magnitude=31).sample(jax.random.key(0), 2, (8, 8))
    with pytest.raises(ValueError, match="magnitude = 9.5 must be a whole number, at least 0"):
        RandAugment(magnitude=9.5).sample(jax.random.key(0), 2, (8, 8))
    with pytest.raises(ValueError, match="num_bins = 31.5 must be a whole number, at least 2"):
        RandAugment(num_bins=31.5).sample(jax.random.key(0), 2, (8, 8))
    with pytest.raises(ValueError, match="num_bins = 1 must be at least 2"):
        TrivialAugment(num_bins=1).sample(jax.random.key(0), 2, (8, 8))
    with pytest.raises(ValueError, match="num_ops = 0 must be at least 1"):
        RandAugment(num_ops=0).sample(jax.random.key(0), 2, (8, 8))


@pytest.mark.parametrize("which", ["64x48", "digits"])
@pytest.mark.parametrize("policy", ["rand", "trivial"])
def test_torchvision_agrees_bit_for_bit(policy, which, photographs):
    """Run by hand, where torchvision is installed."""
    autoaugment = pytest.importorskip("torchvision.transforms.autoaugment")
    nearest = autoaugment.InterpolationMode.NEAREST
    images = cut(photographs, which)[:1]
    size = images.shape[1:3]
    space = our_space(policy, size)
    if policy == "rand":
        theirs = autoaugment.RandAugment()._augmentation_space(31, size)
    else:
        theirs = autoaugment.TrivialAugmentWide()._augmentation_space(31)
    assert tuple(theirs) == OPERATIONS
    for name, magnitudes in space.items():
        np.testing.assert_array_equal(magnitudes, theirs[name][0].numpy(), err_msg=name)
    batch = np.repeat(images, len(CASES), axis=0)
    ours = np.asarray(jax.jit(lambda x, draws: apply_policy(x, draws, space)[0])(batch, draws_of(CASES)))
    picture = pillow_policy.to_pillow(images[0])
    for (name, bin_number, sign), result in zip(CASES, ours, strict=True):
        magnitudes, is_signed = theirs[name]
        magnitude = float(magnitudes[bin_number]) if magnitudes.ndim else 0.0
        expected = autoaugment._apply_op(picture, name, -magnitude if is_signed and sign else magnitude, nearest, None)
        np.testing.assert_array_equal(
            result, np.asarray(expected).reshape(result.shape), err_msg=f"{name} {bin_number}"
        )
