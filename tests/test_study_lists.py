"""The study's lists: every row is a config that trains, and trains what the row says."""

import json

import pytest

from benchmarks import study_lists
from softaug_jax.report.placing import trained
from softaug_jax.train.validate import validate


@pytest.mark.parametrize("dataset", study_lists.DATASETS)
def test_all_rows_build_train_different_things_and_share_slugs(dataset):
    by_slug, by_training = {}, {}
    for name in study_lists.LISTS:
        for entry in study_lists.entries(name, dataset):
            config = entry.build(100, seed=1)
            validate(config, 1)
            assert (config.dataset, config.model.name, config.seed) == (dataset, entry.model, 1)
            training = json.dumps(trained(config.to_dict()), sort_keys=True)
            assert by_slug.setdefault((entry.model, entry.slug), training) == training
            assert by_training.setdefault(training, entry.slug) == entry.slug


def test_the_other_lists_hold_what_they_are_to_answer():
    configs = [entry.build(100) for entry in study_lists.entries("figure3", "cifar10")]
    soft = [(c.soften.mode, c.augment.sigma, c.soften.k) for c in configs if c.augment.crop == "soft"]
    sigmas = (0.1, 0.2, 0.3, 0.4, 0.5)
    wanted = {("target_and_weight", sigma, k) for sigma in sigmas for k in (1, 2, 3, 4)}
    wanted |= {(mode, sigma, 2) for mode in ("target", "weight", "none") for sigma in sigmas}
    assert len(soft) == len(wanted) and set(soft) == wanted
    hard = [c for c in configs if c.augment.crop == "hard"]
    assert [round(1 - c.soften.p_max, 3) for c in hard] == [0, 0.05, 0.1, 0.2, 0.3]
    first, *rest = [trained(e.build(100).to_dict()) for e in study_lists.entries("questions", "cifar10")]
    changed = [{k: v for k, v in config.items() if first[k] != v} for config in rest]
    assert changed == [
        {"augment.uncropped_final_epochs": 0},
        {"augment.uncropped_final_epochs": 0, "soften.mode": "none"},
        {"augment.uncropped_final_epochs": 0, "soften.mode": "target", "soften.p_min": 0.9, "soften.p_max": 0.9},
        {"augment.sigma": 0.375},
        {"augment.fill": "black"},
        {"augment.fill_noise": 0.01},
        {"augment.rounding": "nearest"},
        {"loss.normalize_weights": True},
    ]
    assert first["augment.uncropped_final_epochs"] == 4
