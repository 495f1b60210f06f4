from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax.augment import Chain, CutMix, Flip, HardCrop, Member, Normalize, SoftCrop
from softaug_jax.checks import UsageError


class Dim(NamedTuple):
    """Darkens an image by what was drawn, and says that so much was hidden."""

    def sample(self, key, batch, size):
        return jax.random.uniform(key, (batch,))

    def apply(self, images, draws):
        return images * (1 - draws.reshape(-1, 1, 1, 1)), 1 - draws


CHAIN = Chain((Member("flip", Flip()), Member("soft_crop", SoftCrop()), Member("dim", Dim())))


def test_images_pass_through_in_order_and_visibilities_multiply():
    images = jnp.arange(4.0).reshape(1, 1, 4, 1)
    draws = dict(flip=jnp.array([True]), soft_crop=jnp.array([[0, 1]]), dim=jnp.array([0.5]))
    out, visibility = CHAIN.apply(images, draws)
    np.testing.assert_allclose(out.ravel(), [1, 0.5, 0, 0])  # 0 1 2 3 -> 3 2 1 0 -> 2 1 0 _ -> halved
    np.testing.assert_allclose(visibility, [0.75 * 0.5])


def test_an_empty_chain_changes_nothing():
    images = jnp.ones((2, 3, 3, 1))
    out, visibility = Chain(()).apply(images, {})
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(visibility, [1, 1])
    assert Chain(()).sample(jax.random.key(0), 2, (3, 3)) == {}


def test_adding_or_reordering_members_leaves_the_draws_as_they_were():
    draw = lambda chain: chain.sample(jax.random.key(3), 16, (8, 8))
    draws = draw(CHAIN)
    fewer = draw(Chain(CHAIN.members[:0:-1]))
    for name in ("dim", "soft_crop"):
        np.testing.assert_array_equal(fewer[name], draws[name])


def test_members_of_one_kind_draw_apart():
    draws = Chain((Member("a", Dim()), Member("b", Dim()))).sample(jax.random.key(3), 16, (8, 8))
    assert not np.isin(draws["a"], draws["b"]).any()


def test_draws_that_come_with_the_batch_are_taken_as_they_are():
    mine = jnp.full((4, 2), 3)
    given = CHAIN.sample(jax.random.key(0), 4, (8, 8), given={"soft_crop": mine, "label": jnp.zeros(4)})
    own = CHAIN.sample(jax.random.key(0), 4, (8, 8))
    assert set(given) == {"flip", "soft_crop", "dim"}
    np.testing.assert_array_equal(given["soft_crop"], mine)
    np.testing.assert_array_equal(given["dim"], own["dim"])


@pytest.mark.parametrize("names", [("flip", "flip"), ("mix",), ("image",), ("label", "flip")])
def test_names_that_draws_would_share_are_refused(names):
    chain = Chain(tuple(Member(name, Flip()) for name in names), CutMix())
    with pytest.raises(ValueError, match=f"'{names[0]}' would be taken twice. Give each member a name of its own"):
        chain.augment({"image": jnp.zeros((2, 3, 3, 1)), "label": jnp.zeros(2, int)}, jax.random.key(0))


@pytest.mark.parametrize("step", [0, 9, 10, 11])
@pytest.mark.parametrize("jit", [False, True])
def test_a_member_is_off_from_its_step_on(step, jit, rng):
    members = [Member("soft_crop", SoftCrop(), until_step=10), Member("flip", Flip(), until_step=10)]
    chain = Chain((*members, Member("hard_crop", HardCrop(1))))
    images = jnp.asarray(rng.normal(size=(2, 4, 4, 1)), jnp.float32)
    draws = dict(soft_crop=jnp.array([[1, 0], [0, 2]]), flip=jnp.array([True, True]), hard_crop=jnp.ones((2, 2), int))
    out, visibility = (jax.jit(chain.apply) if jit else chain.apply)(images, draws, step)
    if step >= 10:
        draws = dict(soft_crop=jnp.zeros((2, 2), int), flip=jnp.zeros(2, bool), hard_crop=draws["hard_crop"])
    always = Chain(tuple(member._replace(until_step=None) for member in chain.members))
    expected, left = always.apply(images, draws)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_allclose(visibility, left)
    np.testing.assert_allclose(visibility, [1, 1] if step >= 10 else [0.75, 0.5])


def test_members_without_draws_may_be_switched_and_chained():
    chain = Chain((Member("normalize", Normalize((0.0,), (1.0,)), until_step=3),))
    draws = chain.sample(jax.random.key(0), 2, (3, 3))
    assert draws == {"normalize": None}
    out, _ = chain.apply(jnp.full((2, 3, 3, 1), 255.0), draws, step=1)
    np.testing.assert_allclose(out, 1.0, rtol=1e-6)


def test_jit_equals_eager_over_a_whole_chain(rng):
    images = jnp.asarray(rng.normal(size=(6, 8, 8, 3)), jnp.float32)
    run = lambda key: CHAIN.apply(images, CHAIN.sample(key, 6, (8, 8)))
    (eager, left), (jitted, left_jitted) = run(jax.random.key(0)), jax.jit(run)(jax.random.key(0))
    np.testing.assert_allclose(jitted, eager, rtol=1e-6)
    np.testing.assert_allclose(left_jitted, left, rtol=1e-6)
    assert len(np.unique(left)) == 6


class Returns(NamedTuple):
    """A transform of a user's, with a mistake in what it returns."""

    what: Any

    def sample(self, key, batch, size):
        return None

    def apply(self, images, draws):
        return self.what(images)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda images: images, "The apply of 'mine' returned no pair"),
        (lambda images: (images[0], jnp.ones(2)), r"'mine' returned images of shape \(4, 4, 1\); they must be \[B, H"),
        (lambda images: (images[:1], jnp.ones(2)), r"images of shape \(1, 4, 4, 1\); .* with B = 2"),
        (lambda images: (images, jnp.ones((2, 1))), r"of shape \(2, 1\); it must be \(2,\), one an image"),
        (lambda images: (images, jnp.ones((2, 4, 4))), r"'mine' returned a visibility of shape \(2, 4, 4\)"),
    ],
)
def test_an_own_transform_that_returns_something_else_is_told_by_its_name(returned, told):
    with pytest.raises(UsageError, match=told):
        Chain((Member("mine", Returns(returned)),)).augment({"image": jnp.ones((2, 4, 4, 1))}, jax.random.key(0))


@pytest.mark.parametrize(
    ("chain", "batch", "told"),
    [
        (Chain((Flip(),)), {"image": np.ones((2, 4, 4, 1))}, r"^Flip\(.*\) is no member of a chain, as in Chain\("),
        (Chain(Member("flip", Flip())), {"image": np.ones((2, 4, 4, 1))}, "^'flip' is no member of a chain"),
        (CHAIN, np.ones((2, 4, 4, 1)), "^The batch must be a dictionary, as in chain.augment"),
        (CHAIN, {"image": np.ones((4, 4, 1))}, r"^images have shape \(4, 4, 1\); they must be \[B, H, W, C\]"),
    ],
)
def test_a_chain_says_what_it_is_made_of_and_given(chain, batch, told):
    with pytest.raises(ValueError, match=told):
        chain.augment(batch, jax.random.key(0))
