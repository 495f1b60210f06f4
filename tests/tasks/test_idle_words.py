"""What is said of options that change nothing, and what a run is called without them."""

import pytest

from softaug_jax.tasks import idle, task_of
from tests.train.helpers import config

CONSTANT = {"soften__p_min": 0.9, "soften__p_max": 0.9}


@pytest.mark.parametrize(
    ("name", "own", "words"),
    [
        ("digits_sa", {}, "soft crop 0.3, target & weight"),
        ("digits_sa", {"soften__p_min": 1.0}, "soft crop 0.3, hard targets"),
        ("digits_sa", {"augment__uncropped_final_epochs": 60}, "no crop, hard targets"),
        ("digits_sa", {**CONSTANT, "soften__mode": "weight"}, "hard targets, weight 0.9"),
        ("digits_sa", CONSTANT, "smoothing 0.1, weight 0.9"),
        ("digits_baseline", {"soften__mode": "weight"}, "hard crop 1 px, hard targets"),
        ("simsiam", {"pairs__hypothesis": "sa1", "pairs__p_min": 1.0}, "SimSiam, equal weights"),
        ("simsiam", {"pairs__hypothesis": "sa1", "views__scale_min": 1.0}, "SimSiam, equal weights"),
        ("digits_sa", {"augment__mix": "cutmix", "augment__mix_probability": 0.0}, "soft crop 0.3, target & weight"),
        (
            "digits_baseline",
            {"augment__erase": "soft_random", "augment__erase_probability": 0.0, "soften__mode": "target"},
            "hard crop 1 px, hard targets",
        ),
        ("digits_baseline", {"soften__mode": "target", "soften__p_max": 0.9}, "hard crop 1 px, smoothing 0.1"),
    ],
)
def test_a_run_is_called_by_what_it_softens_and_not_by_options_that_do_nothing(name, own, words):
    chosen = config(name, "", **own)
    assert task_of(chosen).describe(chosen).endswith(words)


def test_what_is_said_names_the_option_and_the_reason():
    said = lambda name, arg, typed, **own: idle.sentences(config(name, arg, **own), typed)
    assert said("digits_baseline", "", {"augment.sigma": 0.5, "augment.pad_px": 2, "seed": 1}) == [
        "--config.augment.sigma=0.5 changes nothing here: config.augment.crop is 'hard'"
    ]
    assert said("digits_sa", "smoothing=0.1", {"soften.k": 3.0}) == [
        "--config.soften.k=3.0 changes nothing here: config.soften.p_min and config.soften.p_max are both 0.9"
    ]
    assert said("digits_baseline", "", {"soften.mode": "target"}, soften__mode="target") == [
        "--config.soften.mode=target changes nothing here: "
        "every image counts as whole, as config.augment.crop is 'hard' and config.augment.erase is 'none'"
    ]
    assert said("digits_sa", "", {"soften.mode": "weight"}, soften__p_min=1.0) == [
        "--config.soften.mode=weight changes nothing here: config.soften.p_min and config.soften.p_max are both 1"
    ]
    assert said("digits_sa", "epochs=3", {"augment.sigma": 0.2}, augment__uncropped_final_epochs=3) == [
        "--config.augment.sigma=0.2 changes nothing here: config.augment.uncropped_final_epochs is 3, all epochs"
    ]
    assert said("digits_sa", "", {"eval_every_epochs": 2}, evals__periodic=()) == [
        "--config.eval_every_epochs=2 changes nothing here: config.evals.periodic is empty"
    ]
    assert said("simsiam", "", {"evals.knn_k": 5}, evals__periodic=(), evals__final=("probe",)) == [
        "--config.evals.knn_k=5 changes nothing here: neither config.evals.periodic nor config.evals.final has 'knn'"
    ]
    assert said("digits_sa", "epochs=1", {"evals.periodic": (), "eval_every_epochs": 1}) == [
        "--config.evals.periodic=() changes nothing here: config.eval_every_epochs is 1 and config.epochs 1",
        "--config.eval_every_epochs=1 changes nothing here: config.epochs is 1",
    ]
    assert said("digits_sa", "epochs=1", {"evals.num_bins": 5}, evals__final=("classification",)) == [
        "--config.evals.num_bins=5 changes nothing here: config.evals.final has no 'calibration' or 'v2' or 'probe', "
        "and config.eval_every_epochs is 1 and config.epochs 1"
    ]
    assert said("digits_sa", "", {"evals.occlusion_draws": 5}, evals__occlusion_shares=(0.0,)) == [
        "--config.evals.occlusion_draws=5 changes nothing here: config.evals.occlusion_shares are 0"
    ]
    assert not said("digits_sa", "method=energy", {"evals.occlusion_fill": "black"}, evals__occlusion_shares=(0.0,))
    assert said("simsiam", "", {"evals.knn_temperature": 0.5}, evals__knn_k=1) == [
        "--config.evals.knn_temperature=0.5 changes nothing here: config.evals.knn_k is 1"
    ]
