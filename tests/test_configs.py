from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common, tables
from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.models.resnet import ResNet
from softaug_jax.train import setup
from softaug_jax.train.validate import validate
from tests import xla
from tests.train.helpers import config

CONFIGS = ["cifar10_baseline", "cifar10_sa", "cifar100_baseline", "cifar100_sa", "digits_baseline", "digits_sa"]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("variant", ["", "smoothing=0.1", "mode=none", "mode=target", "mode=weight"])
def test_every_variant_builds_and_takes_one_step(name, variant):
    if "baseline" in name and "mode" in variant:
        with pytest.raises(ValueError, match="'mode=\\w+' is unknown. Known arguments"):
            config(name, variant)
        return
    chosen = config(name, ",".join(filter(None, ["model=resnet8,epochs=1", variant])), batch_size=8)
    parts = setup.build(chosen)
    size = (8, *parts.info.image_size, parts.info.channels)
    batch = {"image": jnp.arange(np.prod(size)).reshape(size).astype(jnp.uint8), "label": jnp.arange(8)}
    if name != "digits_baseline" or variant:  # of what differs, formulas and images, other tests: to trace it is enough
        new, sums = jax.eval_shape(parts.step, jax.eval_shape(parts.initial_state), batch)
        assert sums.totals["loss"].shape == () and new.step.shape == ()
        return
    state = jax.jit(parts.initial_state)()
    new, sums = jax.jit(parts.step, compiler_options=xla.ONCE)(state, batch)
    assert int(new.step) == 1
    assert np.isfinite(sums.totals["loss"])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, new.params)
    assert all(jax.tree.leaves(moved))


METHODS = [name for name in common.METHODS if name not in ("none", "energy")]  # which train as the baseline does


CHANGING_THE_NETWORK = ("sngp", "duq", "ddu")  # tests/tasks/test_heads.py trains them
VARIANTS = [
    pytest.param(name, variant, marks=pytest.mark.slow if slow else ())
    for name in ("digits_baseline", "digits_sa")
    for variant in ("policy=randaugment", "policy=trivialaugment", *(f"method={method}" for method in METHODS))
    for slow in [name == "digits_baseline" or variant.removeprefix("method=") in CHANGING_THE_NETWORK]
]


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_policy_and_method_takes_a_step_that_counts_its_error(name, variant):
    network = ",model=wideresnet10_1" if variant == "method=ddu" else ""  # it changes the network, and not every one
    chosen = config(name, f"epochs=1,{variant}{network}", batch_size=8)
    parts = setup.build(chosen)
    images, labels = np.arange(8 * 64, dtype=np.uint8).reshape(8, 8, 8, 1), np.arange(8)
    step = jax.jit(parts.step, compiler_options=xla.ONCE)
    new, sums = step(jax.jit(parts.initial_state)(), {"image": images, "label": labels})
    assert int(new.step) == 1
    assert np.isfinite(sums.totals["loss"]) and sums.totals["loss"] > 0
    assert 0 <= sums.totals["top1_error"] <= sums.examples == 8
    soft = name == "digits_sa" or variant in ("method=soft_random_erasing", "method=noise")
    assert (sums.totals["visibility"] < 8) == soft


CELLS = {
    (cell.config, cell.argument(epochs=1)): cell
    for table in tables.TABLES
    for cell in tables.cells(table)
    if cell.config is not None
}
LARGE = {"pyramidnet272": "pyramidnet20_a24"}  # by its small relative: its own shapes are in tests/models


@pytest.mark.parametrize(("name", "argument"), CELLS, ids=[" ".join(key) for key in CELLS])
def test_every_cell_of_the_tables_builds_and_its_step_traces(name, argument, monkeypatch):
    chosen = config(name, argument, batch_size=8)
    validate(chosen, num_devices=1)
    # A network is traced in its data set's first row; the other rows' methods know nothing of it, and take a small one,
    # as all of CIFAR-10 do, where a network differs from CIFAR-100's in its classes.
    if CELLS[name, argument].slug in ("baseline", "simsiam", "barlow_twins") and chosen.dataset != "cifar10":
        chosen.model.name = LARGE.get(chosen.model.name, chosen.model.name)
    else:
        monkeypatch.setitem(models.MODELS, "resnet18", partial(ResNet, (1,), (8,)))
        chosen.model.name = "wideresnet10_1" if "ddu" in chosen else "resnet18"
    parts = setup.build(chosen)
    size = (8, *parts.info.image_size, parts.info.channels)
    batch = {"image": jax.ShapeDtypeStruct(size, jnp.uint8), "label": jax.ShapeDtypeStruct((8,), jnp.int32)}
    if parts.info.encoded:
        batch["crop"] = jax.ShapeDtypeStruct((8, 4), jnp.float32)  # the host's
    state = jax.eval_shape(parts.initial_state)
    new, sums = jax.eval_shape(parts.step, state, batch)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert shapes(new) == shapes(state)
    assert sums.totals["loss"].shape == ()


@pytest.mark.parametrize("name", CONFIGS)
def test_defaults_are_the_papers(name):
    chosen = config(name, "")
    soft = name.endswith("_sa")
    assert chosen.augment.crop == ("soft" if soft else "hard")
    assert chosen.soften.mode == ("target_and_weight" if soft else "none")
    assert (chosen.augment.sigma, chosen.soften.k, chosen.soften.p_min, chosen.soften.p_max) == (0.3, 2.0, None, 1.0)
    if "cifar" in name:
        assert (chosen.model.name, chosen.epochs, chosen.batch_size) == ("resnet18", 500, 128)
        paper = dict(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, warmup_epochs=0, decayed="all")
        assert chosen.optimizer.to_dict() == paper
        assert chosen.augment.uncropped_final_epochs == (20 if soft else 0)
        assert chosen.augment.pad_px == 4
    assert chosen.augment.flip == ("cifar" in name)


@pytest.mark.parametrize("name", [*CONFIGS, "imagenet_baseline", "imagenet_sa", "simsiam", "barlow_twins"])
def test_a_config_is_called_what_its_file_is(name):
    assert config(name, "epochs=10").name == name


@pytest.mark.parametrize(("epochs", "uncropped", "every"), [(100, 4, 2), (9, 0, 1), (500, 20, 10)])
def test_what_follows_from_the_epochs_follows_an_override_of_them(epochs, uncropped, every):
    chosen = config("cifar10_sa", "")
    chosen.epochs = epochs
    assert chosen.augment.uncropped_final_epochs == uncropped
    assert chosen.eval_every_epochs == chosen.checkpoint_every_epochs == every


@pytest.mark.parametrize("arg", ["seeds=1", "seed", "seed=one", "smoothing=", "=3", "seed=1.5"])
def test_arguments_that_are_not_known_or_not_of_their_type_are_errors(arg):
    with pytest.raises(ValueError, match="config argument"):
        common.parse_arg(arg, seed=0, smoothing=0.0)


@pytest.mark.parametrize(
    ("arg", "words"),
    [
        ("method=augmix", "'method=augmix' is unknown. Choose from none, mixup, cutmix"),
        ("gamma=2", "'gamma=2' is the focal loss's: it needs method=focal"),
        ("method=mixup,gamma=5", "'gamma=5' is the focal loss's"),
    ],
)
def test_methods_that_do_not_exist_or_do_not_fit_are_errors(arg, words):
    with pytest.raises(ValueError, match=words):
        config("cifar10_baseline", arg)


def test_methods_set_what_their_papers_say():
    of = lambda name, arg: config(name, arg)
    assert of("cifar10_baseline", "method=cutout").augment.cutout_px == 16
    assert of("cifar100_sa", "method=cutout").augment.cutout_px == 8
    assert of("digits_sa", "method=cutout").augment.cutout_px == 4  # of 8
    assert of("cifar100_baseline", "method=mixup").augment.mix_alpha == 1.0
    assert of("cifar100_baseline", "method=online_label_smoothing").loss.online_smoothing == 0.5
    assert of("cifar100_baseline", "method=focal,gamma=5").loss.focal_gamma == 5.0
    assert of("cifar10_baseline", "method=random_erasing").soften.mode == "none"


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "imagenet"])
@pytest.mark.parametrize(
    ("method", "mode", "k"), [("soft_random_erasing", "target", 1.0), ("noise", "target_and_weight", 2.0)]
)
def test_a_method_that_hides_something_softens_where_the_crop_is_hard(dataset, method, mode, k):
    alone, with_crop = (config(f"{dataset}_{crop}", f"method={method}").soften for crop in ("baseline", "sa"))
    assert (alone.mode, alone.k) == (mode, k)
    assert (with_crop.mode, with_crop.k) == ("target_and_weight", 2.0)
    smoothed = config(f"{dataset}_baseline", f"method={method},smoothing=0.1").soften
    assert (smoothed.mode, smoothed.p_min, smoothed.p_max) == ("target", 0.9, 0.9)


@pytest.mark.parametrize(
    ("name", "arg", "words"),
    [
        ("cifar10_sa", "mode=weight,smoothing=0.1", "'mode=weight' and 'smoothing=0.1' exclude each other"),
        ("imagenet_sa", "mode=target,smoothing=0.1", "'mode=target' and 'smoothing=0.1' exclude each other"),
        ("digits_sa", "mode=target_and_weight,smoothing=0.1", "'mode=target_and_weight' and 'smoothing=0.1' exclude"),
        ("digits_baseline", "smoothing=1.2", "'smoothing=1.2' must be between 0 and 1"),
        ("cifar10_sa", "smoothing=-0.1", "'smoothing=-0.1' must be between 0 and 1"),
        ("simsiam", "k=2", "'k=2' is of the pairs' weights: it needs hypothesis=sa1 or sa2"),
        ("barlow_twins", "p_min=0.5", "'p_min=0.5' is of the pairs' weights: it needs hypothesis=sa1 or sa2"),
    ],
)
def test_arguments_that_would_do_nothing_are_refused(name, arg, words):
    with pytest.raises(ValueError, match=words):
        config(name, arg)


@pytest.mark.parametrize("name", ["digits_baseline", "digits_sa"])
def test_noise_in_what_is_uncovered_leaves_the_rest_of_a_step_as_it_is(name):
    quiet, noisy = (setup.build(config(name, "epochs=50", augment__fill_noise=n)).chain for n in (0.0, 0.01))
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    for step in (0, 50 * 22):  # the soft crop is off in the last two epochs
        draws = noisy.sample(jax.random.key(0), 4, (8, 8))
        seen, visibility = noisy.apply(images, draws, step)
        alike, expected = quiet.apply(images, {**draws, "crop": draws["crop"]["offset"]}, step)
        np.testing.assert_array_equal(visibility, expected)
        difference = np.abs(np.asarray(seen - alike))
        assert (0 < difference.max() < 0.05) == (step == 0 or name == "digits_baseline")


def test_noise_in_what_nothing_uncovers_is_refused():
    words = "fill_noise = 0.01 is of what a soft or hard crop uncovers, and config.augment.crop = 'random_resized'"
    with pytest.raises(UsageError, match=words):
        validate(config("imagenet_baseline", "", augment__fill_noise=0.01), num_devices=1)


def test_any_crop_may_be_off_in_the_last_epochs():
    for name in ("digits_baseline", "digits_sa"):
        chosen = config(name, "epochs=10", augment__uncropped_final_epochs=4)
        (crop,) = (member for member in setup.build(chosen).chain.members if member.name == "crop")
        assert crop.until_step == setup.build(chosen).schedule.step_of_epoch(6)


def test_arguments_are_read_in_the_type_of_their_default():
    args = common.parse_arg("seed=3,smoothing=1e-1,model=x,fast=true", seed=0, smoothing=0.0, model="", fast=False, n=1)
    assert vars(args) == dict(seed=3, smoothing=0.1, model="x", fast=True, n=1)
