"""Which networks a test's config names, and why not."""

import json
import shutil

import pytest

from configs import calibration, occlusion
from softaug_jax import evaluate
from softaug_jax.checks import UsageError
from softaug_jax.evaluate import networks
from softaug_jax.evaluate.results import Results
from softaug_jax.train.validate import validate
from tests.report.synthetic import SOFT, make_run, put
from tests.train.helpers import main


def named(arg="", **fields):
    config = occlusion.get_config(arg)
    for name, value in fields.items():
        config[name] = value
    return config


def test_folders_hold_runs_that_are_grouped_by_their_seed(tmp_path, capsys):
    for seed in range(2):
        make_run(tmp_path / f"hard{seed}", seed=seed)
    make_run(tmp_path / "soft", changes=SOFT)
    unfinished, _ = make_run(tmp_path / "unfinished", seed=5, finished=False)
    groups = networks.find(named(runs=f"{tmp_path / 'soft'}, {tmp_path}"))
    assert [[source.path.name for source in group.sources] for group in groups] == [["soft"], ["hard0", "hard1"]]
    assert [group.legend for group in groups] == ["soft crop, target_and_weight", "hard crop (n = 2)"]
    assert groups[1].facts == ("digits_baseline", "hard crop", "digits", "resnet18", "20")
    assert f"{unfinished} is not finished" in capsys.readouterr().err


def test_a_run_keeps_its_data_unless_told_otherwise(tmp_path):
    workdir, _ = make_run(tmp_path / "run", changes={"data": {"dir": "/theirs", "download": True}})
    assert networks.find(named(runs=str(workdir)))[0].config.data.dir == "/theirs"
    config = named(runs=str(workdir), eval_batch_size=7)
    config.data.dir, config.data.download = "/ours", False
    (group,) = networks.find(config)
    assert not group.config.data.download
    assert (group.config.data.dir, group.config.eval_batch_size, group.config.model.norm_group) == ("/ours", 7, 0)


def test_one_data_set_can_be_chosen(tmp_path, capsys):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", changes={"dataset": "cifar10"})
    with pytest.raises(UsageError, match=r"digits \(.*/a\).*one in a call.*--config.dataset=digits"):
        networks.find(named(runs=str(tmp_path)))
    (group,) = networks.find(named(runs=str(tmp_path), dataset="cifar10"))
    assert group.sources[0].path == tmp_path / "b"
    assert f"{tmp_path / 'a'} is of digits, not of --config.dataset=cifar10. Left out." in capsys.readouterr().err


def test_networks_that_see_other_images_are_not_tested_together(tmp_path):
    put(tmp_path / "a", "imagenet_baseline", "seed=0")
    put(tmp_path / "b", "imagenet_sa", "", fields={"data.size_px": 96, "data.resize_px": 112})
    put(tmp_path / "c", "imagenet_sa", "", fields={"data.threads": 3})
    each = r"config.data.size_px = 224, config.data.resize_px = 256 \(.*/a\)"
    other = r"config.data.size_px = 96, config.data.resize_px = 112 \(.*/b\)"
    with pytest.raises(UsageError, match=f"images of different sizes: ({each} and {other}|{other} and {each}). Test"):
        networks.find(named(runs=str(tmp_path)))
    assert len(networks.find(named(runs=f"{tmp_path / 'a'},{tmp_path / 'c'}"))) == 2
    weights = named("model=resnet50,dataset=imagenet", runs=str(tmp_path / "a"), weights="w.npz")
    assert len(networks.find(weights)) == 2
    weights.data.size_px = 192
    with pytest.raises(UsageError, match=r"config.data.size_px = 192, config.data.resize_px = 256 \(.*w.npz\)"):
        networks.find(weights)


def test_the_folder_of_an_earlier_test_is_left_alone(tmp_path):
    make_run(tmp_path / "run")
    chosen, out = named(runs=str(tmp_path / "run")), tmp_path / "out"
    Results(out, chosen)  # what was stopped before its first record is no obstacle
    (out / "networks" / "00-hard_crop-seed0.json").write_text("{}")
    with pytest.raises(UsageError, match=f"--workdir={out} has an earlier test's records. Name another folder, or"):
        evaluate.run(chosen, out)
    assert [path.name for path in (out / "networks").iterdir()] == ["00-hard_crop-seed0.json"]


@pytest.mark.parametrize(
    ("changes", "finished", "words"),
    [
        ({"pairs": {"method": "simsiam"}}, True, "learnt without labels and is no classifier"),
        ({}, False, "is not finished. Give its command again"),
    ],
)
def test_runs_that_can_t_be_tested_say_why(tmp_path, changes, finished, words):
    workdir, _ = make_run(tmp_path / "run", changes=changes, finished=finished)
    with pytest.raises(UsageError, match=f"{workdir} {words}"):
        networks.find(named(runs=str(workdir)))
    with pytest.raises(UsageError, match=f"{tmp_path} holds no run that can be tested. {workdir} {words}"):
        networks.find(named(runs=str(tmp_path)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nothing to test: name finished runs, as in --config.runs"),
        ({"runs": "/nowhere"}, "/nowhere is not a folder"),
        ({"weights": "a.npz"}, "--config.weights=a.npz needs --config.dataset"),
        ({"weights": "a.npz", "dataset": "digits"}, "needs --config.model.name"),
        ({"weights": "a.npz", "dataset": "mnist"}, "'mnist' is unknown. Choose from"),
        ({"shares": (0.5, 1.5)}, "config.shares = 1.5 must be at most 1"),
        ({"shares": (0.2, 0.201)}, "must differ by at least a percent"),
        ({"shares": ()}, r"config.shares = \(\) must name at least one"),
        ({"fills": ("red",)}, "config.fills = 'red' is unknown. Choose from mean, black, noise"),
        ({"draws": 0}, "config.draws = 0"),
        ({"eval_batch_size": 0}, "config.eval_batch_size = 0"),
        ({"test": "robustness"}, "config.test = 'robustness' is unknown. Choose from occlusion, calibration"),
    ],
)
def test_configs_that_can_t_be_used_leave_no_folder_behind(tmp_path, fields, words):
    with pytest.raises(UsageError, match=words):
        evaluate.run(named(**fields), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bins_are_checked_and_a_run_s_workdir_is_left_alone(tmp_path):
    config = calibration.get_config()
    for wrong, words in ((0, "0 must be at least 1"), (2.5, "2.5 must be a whole number")):
        config.num_bins = (10, wrong)
        with pytest.raises(UsageError, match=f"config.num_bins = {words}"):
            evaluate.run(config, tmp_path)
    workdir, _ = make_run(tmp_path / "run")
    before = sorted(workdir.rglob("*"))
    with pytest.raises(UsageError, match=f"--workdir={workdir} is that of a run, which stays as it is"):
        evaluate.run(named(runs=str(workdir)), workdir)
    assert sorted(workdir.rglob("*")) == before


def test_a_config_of_a_test_is_not_trained():
    with pytest.raises(UsageError, match="The config calibration tests finished runs and describes none"):
        validate(calibration.get_config(), 1)


def test_a_run_without_its_checkpoints_is_named(tmp_path, finished):
    shutil.copytree(finished / "seed0", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(UsageError, match=f"{tmp_path / 'run'} has no checkpoint"):
        evaluate.run(named(runs=str(tmp_path / "run")), tmp_path / "out")
    assert not json.loads((finished / "seed1" / "config.json").read_text())["model"].get("norm_group")


def test_the_command_says_in_one_line_what_is_wrong():
    process = main("--config=configs/occlusion.py:draws=2", "--config.runs=/nowhere")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == "error: /nowhere is not a folder.\n"
