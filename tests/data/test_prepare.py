"""The prepare command: what it writes reads back the same by name, and a failure leaves nothing."""

import subprocess
import sys

import numpy as np
import pytest

from softaug_jax.data import prepare, sources, tf_import


def run(name, archive, data_dir, *options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "softaug_jax.data.prepare", name, f"--archive={archive}", f"--data_dir={data_dir}"]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False)


def call(name, archive, data_dir, *options):
    """The command in this process."""
    return prepare.main([name, f"--archive={archive}", f"--data_dir={data_dir}", "--allow_partial", *options])


def by_id(name, data_dir, split):
    """The images and labels that `tfds.load` gives, in the archive's order."""
    with tf_import.quiet():
        tfds = tf_import.tfds()
        examples = list(tfds.as_numpy(tfds.load(name, data_dir=str(data_dir), split=split, download=False)))
    return sorted(examples, key=lambda example: example["id"])


def test_tfds_loads_by_name_what_the_command_wrote(cifar, tmp_path):
    held = cifar.write(tmp_path / "a.tar.gz", "cifar10", "binary")
    done = run("cifar10", tmp_path / "a.tar.gz", tmp_path / "data", "--allow_partial")
    assert (done.returncode, done.stderr) == (0, "")
    first, wrote, following = done.stdout.splitlines()
    assert "re-packed" in first
    assert "20 training and 4 test images" in wrote
    assert following.startswith("Next: python main.py --config=configs/cifar10_sa.py")
    for split, images, labels in (
        ("train", held.train_images, held.train_labels),
        ("test", held.test_images, held.test_labels),
    ):
        examples = by_id("cifar10", tmp_path / "data", split)
        np.testing.assert_array_equal([example["image"] for example in examples], images)
        np.testing.assert_array_equal([example["label"] for example in examples], labels)
        loaded = sources.load("cifar10", split, tmp_path / "data")
        order = sorted(range(len(images)), key=lambda i: images[i].tobytes())
        loaded_order = sorted(range(len(images)), key=lambda i: loaded.images[i].tobytes())
        np.testing.assert_array_equal(loaded.images[loaded_order], images[order])
        np.testing.assert_array_equal(loaded.labels[loaded_order], labels[order])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar10"]


def test_the_python_archive_of_cifar100_with_its_coarse_labels(cifar, tmp_path, capsys):
    held = cifar.write(tmp_path / "a.tar.gz", "cifar100", "python")
    assert call("cifar100", tmp_path / "a.tar.gz", tmp_path) == 0
    examples = by_id("cifar100", tmp_path, "train")
    np.testing.assert_array_equal([example["image"] for example in examples], held.train_images)
    np.testing.assert_array_equal([example["label"] for example in examples], held.train_labels)
    np.testing.assert_array_equal([example["coarse_label"] for example in examples], held.train_coarse)
    tfds = tf_import.tfds()
    with tf_import.quiet():
        features = tfds.builder("cifar100", data_dir=str(tmp_path)).info.features
    assert features["label"].names[0] == "apple" and features["coarse_label"].names[0] == "aquatic_mammals"
    capsys.readouterr()
    assert call("cifar100", tmp_path / "missing.tar.gz", tmp_path) == 0  # not looked at again
    assert "prepared already" in capsys.readouterr().out


def test_the_official_checksums_are_as_before(cifar, tmp_path):
    tfds = tf_import.tfds()
    cifar.write(tmp_path / "a.tar.gz", "cifar10", "python")
    with tf_import.quiet():
        builder = tfds.builder("cifar10", data_dir=str(tmp_path / "other"))
    before = dict(builder.url_infos)
    assert call("cifar10", tmp_path / "a.tar.gz", tmp_path / "data") == 0
    assert builder.url_infos == before
    assert before[builder._cifar_info.url].size == 170_052_171  # of the official archive


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_npz(cifar, tmp_path, capsys, name):
    held = cifar.write(tmp_path / "a.tar.gz", name, "binary")
    assert call(name, tmp_path / "a.tar.gz", tmp_path / "data", "--format=npz") == 0
    for split, images, labels in (
        ("train", held.train_images, held.train_labels),
        ("test", held.test_images, held.test_labels),
    ):
        loaded = sources.load(name, split, tmp_path / "data")
        np.testing.assert_array_equal(loaded.images, images)
        np.testing.assert_array_equal(loaded.labels, labels)
    capsys.readouterr()
    assert call(name, tmp_path / "a.tar.gz", tmp_path / "data", "--format=npz") == 0
    assert "prepared already" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "data").iterdir()] == [f"{name}.npz"]
    done = run(name, tmp_path / "a.tar.gz", tmp_path / "data", "--format=npz")  # the whole set is asked for now
    assert done.returncode == 2 and "is in the way: it has " in done.stderr


def test_exit_codes_and_one_line_on_stderr(cifar, tmp_path):
    cifar.write(tmp_path / "a.tar.gz")
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes((tmp_path / "a.tar.gz").read_bytes()[:-1000])
    for name, archive, reason in (
        ("cifar10", tmp_path / "missing.tar.gz", "there is no such file"),
        ("cifar10", damaged, "can't be read"),
        ("cifar100", tmp_path / "a.tar.gz", "is an archive of cifar10, not of cifar100"),
        ("cifar10", tmp_path / "a.tar.gz", "holds 4 records; the official one has 10000"),
    ):
        done = run(name, archive, tmp_path / "data", "--format=npz")
        assert done.returncode == 2
        assert done.stdout == ""
        assert reason in done.stderr and str(archive) in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("form", "writer"), [("npz", "_write_npz"), ("tfds", "_write_tfds")])
@pytest.mark.parametrize(("failure", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 2)])
def test_a_failure_half_way_leaves_nothing(cifar, tmp_path, monkeypatch, capsys, form, writer, failure, code):
    cifar.write(tmp_path / "a.tar.gz")

    def write_some(name, contents, scratch):
        (scratch / "half").mkdir()
        (scratch / "half" / "written").write_bytes(bytes(1000))
        raise failure

    monkeypatch.setattr(prepare, writer, write_some)
    (tmp_path / "data").mkdir()
    assert call("cifar10", tmp_path / "a.tar.gz", tmp_path / "data", f"--format={form}") == code
    assert capsys.readouterr().err.count("\n") == 1
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_in_the_way_is_left_alone(cifar, tmp_path, capsys):
    cifar.write(tmp_path / "a.tar.gz")
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar10" / "3.0.2" / "mine").write_text("")
    assert call("cifar10", tmp_path / "a.tar.gz", tmp_path) == 2
    assert "is in the way" in capsys.readouterr().err
    (tmp_path / "cifar10.npz").write_text("mine")
    assert call("cifar10", tmp_path / "a.tar.gz", tmp_path, "--format=npz") == 2
    assert (tmp_path / "cifar10.npz").read_text() == "mine"
    assert (tmp_path / "cifar10" / "3.0.2" / "mine").exists()


def test_a_damaged_tfds_set_is_refused(cifar, tmp_path):
    cifar.write(tmp_path / "a.tar.gz")
    assert call("cifar10", tmp_path / "a.tar.gz", tmp_path) == 0
    (shard,) = (tmp_path / "cifar10" / "3.0.2").glob("*train*")
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(sources.UsageError, match="can't be read .* prepare cifar10 again") as caught:
        sources.load("cifar10", "train", tmp_path)
    assert "\n" not in str(caught.value)


def test_without_tensorflow_the_other_format_is_named(tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from softaug_jax.data import prepare\n"
        f"sys.exit(prepare.main(['cifar10', '--archive=a', '--data_dir={tmp_path}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "softaug_jax[data]" in done.stderr and "--format=npz" in done.stderr
