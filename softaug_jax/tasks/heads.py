"""From `config.model.head` to a classifier's network, objective and predictions: linear, SNGP's or DUQ's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from softaug_jax import models
from softaug_jax.checks import Range, UsageError, at_least_one, fraction, not_negative, positive
from softaug_jax.data.info import INFO, DatasetInfo
from softaug_jax.data.schedule import Schedule
from softaug_jax.models import duq
from softaug_jax.models.gaussian_process import GaussianProcess, Options
from softaug_jax.models.spectral_norm import spectral_norms
from softaug_jax.tasks.class_objective import ClassObjective, loss_name
from softaug_jax.tasks.duq_objective import DuqObjective
from softaug_jax.tasks.protocol import Augmenter, Recipe

RANGES: Mapping[str, Mapping[str, Range]] = {  # of each head's own fields
    "linear": {},
    "sngp": {
        "num_features": at_least_one,
        "amplitude": positive,
        "length_scale": positive,
        "ridge": positive,
        "momentum": fraction,
        "mean_field": not_negative,
    },
    "duq": {
        "embedding_dim": at_least_one,
        "length_scale": positive,
        "momentum": fraction,
        "gradient_penalty": not_negative,
    },
}


def image_size(config: Any) -> tuple[int, int]:
    """(H, W) of what the network sees, in pixels."""
    about = INFO[config.dataset]
    return (config.data.size_px,) * 2 if about.encoded else about.image_size


def recipe(config: Any, about: DatasetInfo, schedule: Schedule, chain: Augmenter) -> Recipe:
    """The network that the config names, with its head, and what trains and predicts with it."""
    if config.model.head == "duq":
        network = _network(config, about, schedule, train_call=duq.train_call)
        return _duq_recipe(network, chain, DuqObjective(config, about.num_classes, schedule))
    network = _network(config, about, schedule)
    return Recipe(network, chain, ClassObjective(config, about.num_classes, schedule))


def _network(config: Any, about: DatasetInfo, schedule: Schedule, **options: Any) -> models.Model:
    image_shape = (*image_size(config), about.channels)

    def change(network: Any, rngs: Any) -> Any:
        network = spectral_norms(network, config.model.spectral_bound, image_shape=image_shape, rngs=rngs)
        channels = network.classifier.in_features
        if config.model.head == "sngp":
            network.classifier = GaussianProcess(
                channels,
                about.num_classes,
                num_train=schedule.num_train,
                options=Options(**config.sngp),
                rngs=rngs,
            )
        elif config.model.head == "duq":
            network.classifier = duq.ClassEmbeddings(channels, about.num_classes, config.duq.embedding_dim, rngs=rngs)
        return network

    return models.create(
        config.model.name,
        num_classes=about.num_classes,
        channels=about.channels,
        dtype=config.model.dtype,
        stem=config.model.stem,
        norm_group=config.model.norm_group,
        sensitive="ddu" in config and config.ddu.sensitive,
        change=change,
        **options,
    )


def _duq_recipe(network: models.Model, chain: Augmenter, objective: DuqObjective) -> Recipe:
    def predict(state: Any, images: jax.Array) -> jax.Array:
        embeddings = network.predict(state.params, state.batch_stats, images)
        return objective.logits(embeddings, state.memory)

    return Recipe(network, chain, objective, predict=predict)


def check(config: Any) -> None:
    """Raises ValueError for a head without its fields, or with what it does not take."""
    head = config.model.head
    if head != "linear" and head not in config:
        raise UsageError(
            f"config.model.head = {head!r} needs the fields of config.{head}. Start from a config with method={head}, "
            f"as in --config=configs/cifar10_sa.py:method={head}."
        )
    if "ddu" in config:
        models.sensitive_argument(config.model.name, config.ddu.sensitive)
    for field, check_range in RANGES[head].items():
        check_range(f"config.{head}.{field}", config[head][field])
    if head == "duq":
        _check_duq(config)


def _check_duq(config: Any) -> None:
    """DUQ has a loss of its own, and a centroid of each image's one class."""
    if (name := loss_name(config)) != "focal":
        raise UsageError(f"config.loss.name = {name!r} does not go with DUQ, which has its own loss. Leave it out.")
    for field, value, needed in (
        ("augment.mix", config.augment.mix, "none"),
        ("loss.focal_gamma", config.loss.focal_gamma, 0),
        ("loss.online_smoothing", config.loss.online_smoothing, 0),
        ("loss.weighting", config.loss.weighting, "per_example"),
        ("loss.normalize_weights", config.loss.normalize_weights, False),
    ):
        if value != needed:
            raise UsageError(f"config.{field} = {value!r} does not go with DUQ. Use --config.{field}={needed}.")


def describe(config: Any) -> str | None:
    """The network's part of the method in a few words, or None where it is as ever."""
    words = {"sngp": "SNGP", "duq": "DUQ"}.get(config.model.head, "DDU" if "ddu" in config else "")
    bound = f"spectral norm {config.model.spectral_bound:g}" if config.model.spectral_bound else ""
    return ", ".join(filter(None, (words, bound))) or None
