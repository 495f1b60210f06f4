"""Self-supervised learning from two views of an image (arXiv:2211.04625, section 4.4): SimSiam and Barlow Twins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import sqrt
from typing import Any

import jax
import numpy as np

from softaug_jax import preview
from softaug_jax.augment import Chain, ColorJitter, Flip, Grayscale, Member, Normalize, Pair, ResizedCrop
from softaug_jax.checks import UsageError, at_least_one, check_scalar, fraction, not_negative, positive
from softaug_jax.data.info import INFO, DatasetInfo, training_images
from softaug_jax.data.schedule import Schedule
from softaug_jax.evals import LinearProbe, NearestNeighbors
from softaug_jax.models import siamese
from softaug_jax.tasks import idle
from softaug_jax.tasks.pair_objective import PAIR_WEIGHTS, PairObjective
from softaug_jax.tasks.protocol import Recipe, Rules, Task, Tested, evaluations

METHOD_NAMES = {"simsiam": "SimSiam", "barlow_twins": "Barlow Twins"}
COLLAPSED = 0.1  # of the outputs' standard deviation when they are spread evenly over the sphere


def _check(config: Any, num_devices: int) -> None:
    if INFO[config.dataset].encoded:
        raise UsageError(
            f"config.dataset = {config.dataset!r} is image files, and pairs of views are cut from images in memory. "
            f"Use {', '.join(name for name, about in INFO.items() if not about.encoded)}."
        )
    if 1 in (config.batch_size, config.model.norm_group):
        field = "model.norm_group" if config.model.norm_group == 1 else "batch_size"
        raise UsageError(
            f"config.{field} = 1 leaves BatchNorm a single vector, and so a variance of 0, in the heads of "
            f"config.pairs.method = {config.pairs.method!r}: nothing would be learnt. Use at least 2."
        )
    check_scalar("config.views.scale_min", config.views.scale_min, at_most=config.views.scale_max)
    if config.views.scale_min == 1 and config.pairs.hypothesis == "sa2" and config.pairs.p_min == 0:
        raise UsageError(
            "config.views.scale_min = 1 makes both views of an image the whole of it, which config.pairs.hypothesis = "
            "'sa2' with p_min = 0 gives no weight: nothing would be learnt. Use a smaller --config.views.scale_min."
        )
    num_train = training_images(INFO[config.dataset], config.data.images_per_class)
    if "knn" in evaluations(config):
        check_scalar("config.evals.knn_k", config.evals.knn_k, at_most=num_train)


def _check_train(config: Any, labels: np.ndarray) -> None:
    if "knn" in evaluations(config) and config.evals.knn_k > len(labels):
        raise UsageError(
            f"config.evals.knn_k = {config.evals.knn_k} is more than the {len(labels)} training images of "
            f"{config.dataset} that are there. Use at most --config.evals.knn_k={len(labels)}."
        )


RULES = Rules(
    choices={"model.head": ("linear",), "pairs.method": siamese.METHODS, "pairs.hypothesis": PAIR_WEIGHTS},
    ranges={
        "model.spectral_bound": partial(check_scalar, at_least=0, at_most=0),
        "model.projector_layers": at_least_one,
        "model.projection_dim": partial(check_scalar, at_least=2),
        "model.predictor_dim": at_least_one,
        "views.scale_min": positive,
        "views.scale_max": partial(check_scalar, at_most=1),
        "views.brightness": fraction,
        "views.contrast": fraction,
        "views.saturation": fraction,
        "views.hue": partial(check_scalar, at_least=0, at_most=0.5),
        "views.jitter_probability": fraction,
        "views.grayscale_probability": fraction,
        "pairs.k": positive,
        "pairs.p_min": fraction,
        "pairs.redundancy": not_negative,
        "evals.knn_k": at_least_one,
        "evals.knn_temperature": positive,
        "evals.probe_epochs": at_least_one,
        "evals.probe_batch_size": at_least_one,
        "evals.probe_learning_rate": positive,
        "evals.probe_weight_decay": not_negative,
    },
    check=_check,
    check_train=_check_train,
)


def build(config: Any, about: DatasetInfo, schedule: Schedule) -> Recipe:
    """The siamese network, the two views and the objective."""
    m, method = config.model, config.pairs.method
    model = siamese.create(
        m.name,
        method=method,
        channels=about.channels,
        dtype=m.dtype,
        stem=m.stem,
        projector_layers=m.projector_layers,
        projection_dim=m.projection_dim,
        predictor_dim=m.predictor_dim,
        norm_group=m.norm_group,
    )
    # The predictor has to keep up with the changing representation: its rate stays constant (Chen and He, section 4.2).
    constant_rate = ("predictor",) if method == "simsiam" else ()
    return Recipe(model, views(config, about), PairObjective(config.pairs), constant_rate)


def views(config: Any, about: DatasetInfo) -> Pair:
    """Two views by the same transforms, drawn apart."""
    v = config.views
    members = (
        *_cuts(v),
        Member("jitter", ColorJitter(v.brightness, v.contrast, v.saturation, v.hue, v.jitter_probability)),
        Member("grayscale", Grayscale(v.grayscale_probability)),
        Member("normalize", Normalize(about.mean, about.std)),
    )
    return Pair(members)


def _cuts(v: Any) -> tuple[Member, ...]:
    """What moves pixels, and no colours."""
    crop = Member("crop", ResizedCrop((v.scale_min, v.scale_max)))
    return (crop, Member("flip", Flip())) if v.flip else (crop,)


def describe(config: Any) -> str:
    """The run's method in a few words, for tables."""
    p = config.pairs
    name = METHOD_NAMES[p.method]
    if idle.why_idle(config, "pairs.k"):  # which every hypothesis has that tells pairs apart
        return f"{name}, equal weights"
    if idle.weighs_otherwise(config):
        return f"{name}, {p.hypothesis}"
    floor = f", p_min {p.p_min:g}" if p.p_min else ""
    return f"{name}, {p.hypothesis.upper().replace('SA', 'SA#')} (k {p.k:g}{floor})"


def warning(config: Any, means: Mapping[str, float]) -> str | None:
    """Says that the outputs have collapsed, or nearly, to one point."""
    even = 1.0 / sqrt(config.model.projection_dim)
    if means.get("output_std", even) >= COLLAPSED * even:
        return None
    return (
        f"the outputs' standard deviation is {means['output_std']:.2g}, under a tenth of {even:.2g}, that of outputs "
        "spread evenly: the representation is collapsing. Try a smaller --config.optimizer.learning_rate than "
        f"{config.optimizer.learning_rate:g}."
    )


def _neighbors(tested: Tested) -> NearestNeighbors:
    evals = tested.config.evals
    return NearestNeighbors(
        tested.predict,
        tested.test,
        tested.train(),
        num_classes=tested.about.num_classes,
        k=evals.knn_k,
        temperature=evals.knn_temperature,
    )


def _probe(tested: Tested) -> LinearProbe:
    evals = tested.config.evals
    cuts = Chain(_cuts(tested.config.views))

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        return cuts.augment({"image": images}, key).images

    return LinearProbe(
        tested.predict,
        tested.test,
        tested.train(),
        num_classes=tested.about.num_classes,
        epochs=evals.probe_epochs,
        batch_size=evals.probe_batch_size,
        learning_rate=evals.probe_learning_rate,
        weight_decay=evals.probe_weight_decay,
        seed=tested.config.seed,
        num_bins=evals.num_bins,
        augment=augment if evals.probe_augment else None,
    )


SELF_SUPERVISED = Task(
    rules=RULES,
    build=build,
    evaluators={"knn": _neighbors, "probe": _probe},
    headline="probe",
    describe=describe,
    preview=preview.draw_pairs,
    warning=warning,
)
