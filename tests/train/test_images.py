"""Training and testing on image files of many sizes and kinds, as ImageNet has them, with a small network."""

import json

import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import setup
from softaug_jax.train.validate import validate
from tests.data.made_images import make_files, make_folders, write_folders
from tests.train.helpers import assert_states_equal, config, main, train

ARGUMENTS = "dataset=imagenette,model=resnet8,epochs=2"
FIELDS = {
    "model__stem": "cifar",
    "batch_size": 16,
    "eval_batch_size": 16,
    "data__size_px": 24,
    "data__resize_px": 28,
    "data__threads": 2,
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """64 training and 24 test images of ten classes, and 20 as ImageNet-V2 is published, with numbers for folders."""
    folder = make_folders(tmp_path_factory.mktemp("images"), num_classes=10)
    write_folders(folder / "v2", make_files(20, 10, seed=3), [str(label) for label in range(10)])
    return folder


def small(name, data_dir, arg="", **fields):
    return config(name, ",".join(filter(None, [ARGUMENTS, arg])), **{**FIELDS, "data__dir": str(data_dir), **fields})


def test_a_whole_run_is_tested_on_both_sets_and_names_what_it_can_not_read(data_dir, tmp_path):
    copy = make_folders(tmp_path / "data", num_classes=10)
    broken = next((copy / "train").rglob("*.JPEG"))
    broken.write_bytes(broken.read_bytes()[:200])
    fields = [f"--config.{name.replace('__', '.')}={value}" for name, value in FIELDS.items()]
    where = [f"--config.data.dir={copy}", f"--config.data.v2_dir={data_dir}/v2", f"--workdir={tmp_path}/run"]
    process = main(f"--config=configs/imagenet_sa.py:{ARGUMENTS}", *fields, *where)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count(broken.name) == 1 and "1 unreadable so far" in err
    assert "soft crop and resize 0.3, target & weight" in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["num_train"], summary["num_examples"], summary["v2/num_examples"]) == (64, 24, 20)
    assert 0 < summary["v2/top1_error"] <= 1 and 0 < summary["occlusion/top1_error@80%"] <= 1
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert 0.2 < rows[0]["visibility"] < 0.9
    assert (tmp_path / "run" / "figures" / "augmented.png").exists()


@pytest.mark.parametrize("name", ["imagenet_sa", pytest.param("imagenet_baseline", marks=pytest.mark.slow)])
def test_interrupted_equals_uninterrupted_bit_for_bit(name, data_dir):
    chosen = small(name, data_dir)
    whole, _ = train(chosen, 7)
    part, _ = train(chosen, 3)
    resumed, _ = train(chosen, 4, start=3, state=part)
    assert_states_equal(whole, resumed)


def test_loss_falls(data_dir):
    chosen = small("imagenet_baseline", data_dir, optimizer__warmup_epochs=0.0, optimizer__learning_rate=0.1)
    _, losses = train(chosen, 30)
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_rate_and_warm_up_follow_batch_and_epochs():
    chosen = config("imagenet_sa", "epochs=90")
    assert (chosen.optimizer.learning_rate, chosen.optimizer.warmup_epochs) == (pytest.approx(0.4), 5.0)
    assert (chosen.optimizer.weight_decay, chosen.optimizer.decayed) == (1e-4, "kernels")
    chosen.batch_size = 4096
    assert chosen.optimizer.learning_rate == pytest.approx(1.6)
    rate = setup.build(chosen).schedule
    assert rate.total_steps == -(-90 * 1_281_167 // 4096)
    np.testing.assert_allclose(config("imagenet_sa", "epochs=2").optimizer.warmup_epochs, 0.5)


@pytest.mark.parametrize(
    ("name", "field", "value", "words"),
    [
        ("imagenet_sa", "data__loader", "device", "config.data.loader = 'device' holds all images in device memory"),
        ("imagenet_sa", "data__images_per_class", 5, "images_per_class = 5 is for sets that are held in memory"),
        ("imagenet_sa", "augment__crop", "soft", "config.augment.crop = 'soft' moves images of one size"),
        ("imagenet_sa", "augment__fill", "black", "fill = 'black': a window that the host cuts shows the mean colour"),
        ("imagenet_sa", "data__resize_px", 200, "config.data.size_px = 224 must be at most 200"),
        ("imagenet_baseline", "augment__scale_min", 2.0, "config.augment.scale_min = 2.0 must be at most 1"),
        ("imagenet_baseline", "data__threads", -1, "config.data.threads = -1 must be at least 0"),
        ("cifar10_sa", "augment__crop", "soft_resized", "is for images that the host decodes"),
    ],
)
def test_what_can_not_be_trained_is_said_before(name, field, value, words):
    with pytest.raises(UsageError, match=words):
        validate(config(name, "", **{field: value}), num_devices=8)


def test_another_number_of_classes_is_an_error_that_says_so(data_dir):
    with pytest.raises(UsageError, match="has 10 class folders .* and imagenet has 1000 classes"):
        train(config("imagenet_sa", "", data__dir=str(data_dir)), 1)
