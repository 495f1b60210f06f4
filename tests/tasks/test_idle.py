"""Each field of the table changes what is built where the table says that it acts, and nothing where it does not."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softaug_jax import augment
from softaug_jax.augment.noise import NoisyFill
from softaug_jax.data.info import info
from softaug_jax.data.schedule import Schedule
from softaug_jax.data.sources import Arrays
from softaug_jax.models.gaussian_process import mean_field
from softaug_jax.models.siamese import Embeddings
from softaug_jax.tasks import SELF_SUPERVISED, classification, idle, protocol, self_supervised, task_of
from softaug_jax.tasks.class_objective import ClassObjective
from softaug_jax.tasks.pair_objective import PairObjective
from softaug_jax.train import feed, optim, setup, sharding
from tests.train.helpers import config

SECTIONS = ("augment", "soften", "loss", "noise", "views", "pairs")
CASES = [
    ("digits_baseline", "epochs=50", {}),
    ("digits_baseline", "smoothing=0.1", {}),
    ("digits_baseline", "method=soft_random_erasing", {}),
    ("digits_baseline", "method=random_erasing", {}),
    ("digits_baseline", "method=random_erasing", {"augment__erase_probability": 0.0}),
    ("digits_baseline", "method=soft_random_erasing", {"augment__erase_probability": 0.0}),
    ("digits_baseline", "method=cutmix", {"augment__mix_probability": 0.0}),
    ("digits_baseline", "method=cutout", {"augment__pad_px": 0}),
    ("digits_baseline", "method=cutout", {}),
    ("digits_baseline", "method=noise", {}),
    ("digits_baseline", "method=mixup,policy=randaugment", {}),
    ("digits_baseline", "method=cutmix,policy=trivialaugment", {}),
    ("digits_baseline", "", {"augment__crop": "none"}),
    ("digits_baseline", "", {"soften__mode": "target_and_weight"}),
    ("digits_baseline", "", {"augment__uncropped_final_epochs": 60}),  # all
    ("digits_sa", "", {"augment__uncropped_final_epochs": 60}),
    ("digits_sa", "mode=target", {"loss__online_smoothing": 1.0}),
    ("digits_sa", "epochs=50", {}),
    ("digits_sa", "mode=target", {}),
    ("digits_sa", "mode=weight", {}),
    ("digits_sa", "mode=none", {}),
    ("digits_sa", "smoothing=0.1", {}),
    ("imagenet_baseline", "dataset=imagenette", {}),
    ("imagenet_sa", "dataset=imagenette", {}),
    ("simsiam", "", {}),
    ("simsiam", "hypothesis=sa1", {}),
    ("simsiam", "hypothesis=sa2", {"pairs__p_min": 1.0}),
    ("simsiam", "dataset=digits", {}),
    ("simsiam", "", {"views__jitter_probability": 0.0}),
    ("simsiam", "dataset=digits", {"views__brightness": 0.0, "views__contrast": 0.0}),
    ("simsiam", "hypothesis=sa1", {"views__scale_min": 1.0}),
    ("simsiam", "hypothesis=sa2,p_min=0.25", {"views__scale_min": 1.0}),
    ("barlow_twins", "hypothesis=sa2,p_min=0.25", {"views__scale_min": 1.0}),
    ("barlow_twins", "hypothesis=sa2", {}),
]
OTHER = {"soften.p_min": 0.05, "soften.p_max": 0.95, "pairs.p_min": 0.5}  # than every case's own


def fields_of(chosen, sections):
    return [f"{section}.{name}" for section in sections if section in chosen for name in chosen[section]]


def set_field(chosen, field, value):
    section, name = field.split(".")
    chosen[section][name] = value


def change(chosen, field):
    """Sets a field to another value that it may have."""
    section, name = field.split(".")
    value = chosen[section][name]
    choices = task_of(chosen).rules.choices.get(field, ())
    if choices:
        other = next(choice for choice in choices if choice != value)
    elif isinstance(value, (bool, str)):
        other = not value
    elif isinstance(value, int):
        other = value + 1
    else:
        other = OTHER.get(field, value / 2 if value else 0.25)
    set_field(chosen, field, other)


def built(chosen):
    """What a config makes of images, labels and outputs, to be compared; the network apart."""
    about = info(chosen.dataset)
    schedule = Schedule(about.num_train, chosen.batch_size, chosen.epochs)
    labels, draws = jnp.arange(3), np.random.default_rng(0)
    if task_of(chosen) is SELF_SUPERVISED:
        view = self_supervised.views(chosen, about).view
        colours = [member for member in view if member.name in ("jitter", "grayscale")]
        members = [member for member in view if member not in colours]
        images = {"image": jnp.asarray(draws.uniform(0, 255, (64, 1, 2, about.channels)), jnp.float32)}
        seen = augment.Chain(tuple(colours)).augment(images, jax.random.key(0)).images
        objective, outputs = PairObjective(chosen.pairs), Embeddings(*draws.normal(size=(2, 3, 2, 4)).astype("f"))
        visibility = jnp.ones(3) if chosen.views.scale_min == 1 else jnp.array([0.2, 0.5, 1.0])
    else:
        chain = classification.augmentations(chosen, about, schedule)
        mix = None if getattr(chain.mix, "probability", 1) == 0 else chain.mix
        chain = chain._replace(members=tuple(m for m in chain.members if does_something(m)), mix=mix)
        members, seen = chain, ()
        objective = ClassObjective(chosen, about.num_classes, schedule)
        outputs = jnp.asarray(draws.normal(size=(3, about.num_classes)), jnp.float32)
        visibility = jnp.array([0.2, 0.5, 1.0]) if hides(chain) else jnp.ones(3)
    softened = objective.soften(labels, visibility, None, objective.initial_memory())
    weighted = softened if chosen.get("pairs") is None else ()  # Barlow Twins takes the weights' common factor away
    numbers = (seen, weighted, objective.loss(outputs, softened))
    return repr(members), [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(numbers)]


def does_something(member):
    """Whether some image may be another after it."""
    bare = getattr(member.transform, "crop", member.transform)
    return member.until_step != 0 and getattr(bare, "pad_px", 1) and getattr(bare, "probability", 1)


def hides(chain):
    """Whether some transform leaves less than all visible (softaug_jax/augment); all others say 1."""
    bare = [m.transform.crop if isinstance(m.transform, NoisyFill) else m.transform for m in chain.members]
    soft = (augment.SoftCrop, augment.SoftWindow, augment.AdditiveNoise)
    return any(isinstance(t, soft) or (isinstance(t, augment.RandomErasing) and t.soft) for t in bare)


CUTMIX = {"batch_size": 4, "augment__mix_probability": 0.0}


@pytest.mark.parametrize(
    ("arg", "own", "fields"),
    [
        ("", {"augment__pad_px": 0}, ("augment.fill", "augment.fill_noise", "augment.uncropped_final_epochs")),
        ("method=random_erasing", {"augment__erase_probability": 0.0}, ("augment.erase",)),
        ("method=cutmix", CUTMIX, ("augment.mix", "augment.mix_alpha")),
    ],
)
def test_transforms_that_leave_every_image_as_it_is_make_their_other_fields_idle(arg, own, fields):
    images = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))

    def seen(chosen):
        chain = classification.augmentations(chosen, info("digits"), Schedule(8, 4, chosen.epochs))
        return [np.asarray(chain.augment({"image": images}, jax.random.key(0), step).images) for step in (0, 119)]

    for field in fields:
        chosen = config("digits_baseline", arg, **own)
        expected = seen(chosen)
        assert idle.why_idle(chosen, field) == f"config.{next(reversed(own)).replace('__', '.')} is 0"
        change(chosen, field)
        np.testing.assert_array_equal(seen(chosen), expected, field)


def test_what_makes_a_variance_acts_where_logits_are_divided_by_it():
    chosen = config("digits_sa", "method=sngp", sngp__mean_field=0.0)
    assert {field for field in fields_of(chosen, ("sngp",)) if idle.why_idle(chosen, field)} == {
        "sngp.ridge",
        "sngp.momentum",
    }
    logits = jnp.array([[0.3, -2.0]])
    np.testing.assert_array_equal(mean_field(logits, jnp.array([5.0]), 0.0), logits)


@pytest.mark.parametrize(("name", "arg", "own"), CASES, ids=lambda value: str(value))
def test_a_field_changes_what_is_learnt_where_it_acts_and_only_there(name, arg, own):
    expected = built(config(name, arg, **own))
    fields = fields_of(config(name, arg), SECTIONS)
    for field in fields:
        chosen = config(name, arg, **own)
        acts = not idle.why_idle(chosen, field)
        change(chosen, field)
        assert (built(chosen) != expected) == acts, field


def test_every_field_of_the_table_that_is_learnt_from_both_acts_and_does_nothing_in_some_case():
    seen = {
        (field, bool(idle.why_idle(chosen, field)))
        for chosen in (config(name, arg, **own) for name, arg, own in CASES)
        for field in fields_of(chosen, SECTIONS)
    }
    for field in idle.ACTS_IF:
        if field.startswith(SECTIONS):
            assert {(field, True), (field, False)} <= seen, field


NETWORKS = [
    ("simsiam", "dataset=digits,model=resnet8", {}, "model.predictor_dim", False),
    ("barlow_twins", "dataset=digits,model=resnet8", {}, "model.predictor_dim", True),
    ("digits_sa", "method=sngp", {}, "sngp.num_features", False),
    ("digits_sa", "method=duq", {}, "duq.embedding_dim", False),
]


@pytest.mark.parametrize(("name", "arg", "own", "field", "is_idle"), NETWORKS)
def test_a_field_changes_the_network_where_it_acts_and_only_there(name, arg, own, field, is_idle):
    chosen = config(name, arg, **own)
    shapes = lambda: jax.tree.map(jnp.shape, jax.eval_shape(setup.build(chosen).initial_state))
    expected = shapes()
    assert bool(idle.why_idle(chosen, field)) == is_idle
    change(chosen, field)
    assert (shapes() == expected) == is_idle


@pytest.mark.parametrize("head", ["sngp", "duq"])
def test_the_other_fields_of_a_head_are_not_looked_at_under_another(head):
    chosen = config("digits_sa", f"method={head}", model__head="linear")
    assert all(idle.why_idle(chosen, field) for field in fields_of(chosen, (head,)))
    with chosen.unlocked():
        del chosen[head]
    setup.build(chosen)  # which needs none of them
    chosen = config("digits_sa", f"method={head}")
    assert not any(idle.why_idle(chosen, field) for field in fields_of(chosen, (head,)))


@pytest.mark.parametrize(
    ("field", "by", "own"),
    [
        ("optimizer.nesterov", "optimizer.momentum", {"optimizer__momentum": 0.0}),
        ("optimizer.decayed", "optimizer.weight_decay", {"optimizer__weight_decay": 0.0}),
    ],
)
def test_a_field_changes_an_update_where_it_acts_and_only_there(field, by, own):
    def update(chosen):
        params = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
        optimizer = optim.optimizer(chosen, total_steps=4)
        return jax.tree.map(
            np.ndarray.tolist, jax.device_get(optimizer.update(params, optimizer.init(params), params)[0])
        )

    for fields in ({}, own):
        chosen = config(**fields)
        expected, reason = update(chosen), idle.why_idle(chosen, field)
        assert reason == (f"config.{by} is 0" if fields else "")
        set_field(chosen, field, {"optimizer.nesterov": False, "optimizer.decayed": "kernels"}[field])
        assert (update(chosen) == expected) == bool(reason)


def test_the_steps_of_a_dispatch_are_looked_at_by_the_device_loader_alone(monkeypatch):
    monkeypatch.setattr(feed, "host_batches", lambda *_: None)
    arrays = Arrays(np.zeros((64, 8, 8, 1), np.uint8), np.zeros(64, np.int32))
    for loader in ("device", "tfdata"):
        chosen = config(data__loader=loader, data__steps_per_dispatch=2)
        reason = idle.why_idle(chosen, "data.steps_per_dispatch")
        assert reason == ("" if loader == "device" else "config.data.loader is 'tfdata'")
        if reason:
            with chosen.unlocked():
                del chosen.data.steps_per_dispatch
        made = feed.create(chosen, None, None, arrays, Schedule(64, 8, 1), sharding.over(jax.devices()[:1]))
        assert reason or made._many == 2


class Reads:
    """A config's `evals` that remembers which of its fields were asked for."""

    def __init__(self, evals):
        self.evals, self.names = evals, set()

    def __getattr__(self, name):
        self.names.add(name)
        return self.evals[name]


@pytest.mark.parametrize("name", ["imagenet_sa", "simsiam"])
def test_the_fields_of_evaluations_act_where_an_evaluator_that_looks_at_them_is_named(name):
    chosen = config(name, "")
    for asked, make in task_of(chosen).evaluators.items():
        reads = Reads(chosen.evals)
        seen = SimpleNamespace(evals=reads, seed=0, views=chosen.get("views"), data=chosen.data)
        make(protocol.Tested(seen, info(chosen.dataset), *[MagicMock()] * 5))
        chosen.evals.periodic, chosen.evals.final = (), (asked,)
        acting = {field for field in chosen.evals if not idle.why_idle(chosen, f"evals.{field}")}
        assert acting - {"periodic", "final"} == reads.names, asked
        assert name == "simsiam" or bool(idle.why_idle(chosen, "data.v2_dir")) == (asked != "v2")
