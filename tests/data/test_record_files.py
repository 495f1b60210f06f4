"""Random access to TFRecord files, as TensorFlow and TFDS write them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data import record_files
from softaug_jax.data.image_set import open_set
from softaug_jax.data.record_files import RecordFiles, images_in
from softaug_jax.data.tf_import import quiet, tensorflow, tfds
from tests.data.made_images import make_files


def example(image, label, **more):
    """A serialized tf.train.Example."""
    train = tensorflow().train
    kinds = {
        bytes: lambda v: train.Feature(bytes_list=train.BytesList(value=[v])),
        int: lambda v: train.Feature(int64_list=train.Int64List(value=[v])),
        list: lambda v: train.Feature(float_list=train.FloatList(value=v)),
    }
    features = {**more, "image": image, "label": label}
    feature = {name: kinds[type(value)](value) for name, value in features.items() if value is not None}
    return train.Example(features=train.Features(feature=feature)).SerializeToString()


def write(path, records):
    with tensorflow().io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def write_shards(folder, files, shards=3):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"set-train.tfrecord-{i:05d}-of-{shards:05d}" for i in range(shards)]
    for i, name in enumerate(names):
        more = [{}, {"file_name": b"n01_1.JPEG", "zeta": [1.5, 2.5]}, {"a": 300}]
        write(folder / name, [example(data, label, **more[n % 3]) for n, (label, data) in enumerate(files[i::shards])])
    return names, [file for i in range(shards) for file in files[i::shards]]


def test_every_image_is_read_by_its_number(tmp_path, rng):
    names, expected = write_shards(tmp_path, [(int(label) * 40, data) for label, data in make_files(22)])
    images = RecordFiles(tmp_path, names)
    assert len(images) == 22 and images.labels.dtype == np.int32
    assert images.labels.tolist() == [label for label, _ in expected]
    for i in rng.permutation(22):
        assert images.read(i) == expected[i][1]
    assert images.name(0) == f"{tmp_path / names[0]}, image 0"
    assert images.name(9) == f"{tmp_path / names[1]}, image 1"  # eight are in the first file
    again = RecordFiles(tmp_path, names)
    assert again.digest() == images.digest() and again.read(21) == expected[21][1]


def test_the_index_is_made_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    names, expected = write_shards(tmp_path, make_files(9))
    walks = []
    real = record_files.images_in
    monkeypatch.setattr(record_files, "images_in", lambda path: (walks.append(path), real(path))[1])
    before = RecordFiles(tmp_path, names)
    RecordFiles(tmp_path, names)
    assert len(walks) == 3
    write(tmp_path / names[0], [example(expected[0][1], 3)])
    after = RecordFiles(tmp_path, names)
    assert len(walks) == 6 and len(after) == 7
    assert after.digest() != before.digest()
    with pytest.raises(OSError, match="shorter"):
        before.read(2)  # was the first file's third


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999, 2**31 - 1])
def test_labels_of_any_length(tmp_path, label):
    write(tmp_path / "one", [example(b"image" * 100, label), example(b"", label)])
    found = list(images_in(tmp_path / "one"))
    assert [(place.label, place.length) for place in found] == [(label, 500), (label, 0)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (lambda: example(None, 3), "image"),
        (lambda: example(b"x", None), "label"),
        (lambda: example(7, 3), "image is no bytes"),
        (lambda: example(b"x", b"three"), "label is no integer"),
        (lambda: example(b"x", -1), "label is unknown"),
        (lambda: b"\xff" * 40, "without end"),
        (lambda: b"\x0a\x7f\x01", "longer than its record"),
        (lambda: b"", "image"),
    ],
)
def test_other_records_are_refused(tmp_path, record, reason):
    write(tmp_path / "one", [example(b"x" * 50, 1), record()])
    with pytest.raises(UsageError, match=f"one can't be understood .*{reason}"):
        list(images_in(tmp_path / "one"))


def test_a_cut_off_file_is_refused(tmp_path):
    write(tmp_path / "one", [example(b"x" * 50, 1)] * 2)
    whole = (tmp_path / "one").read_bytes()
    for length in (1, 11, 40, len(whole) // 2 + 1, len(whole) - 1):
        (tmp_path / "one").write_bytes(whole[:length])
        with pytest.raises(UsageError, match="cut off or damaged"):
            list(images_in(tmp_path / "one"))
    (tmp_path / "one").write_bytes(b"")
    assert list(images_in(tmp_path / "one")) == []
    with pytest.raises(UsageError, match="no examples of the split train"):
        RecordFiles(tmp_path, ["one"])
    with pytest.raises(UsageError, match="none can't be read"):
        RecordFiles(tmp_path, ["none"])


def prepare(data_dir, name, splits):
    """Has TFDS write a set under the name of a real one."""
    datasets = tfds()
    with quiet():
        builder = datasets.builder(name, data_dir=str(data_dir))
        folder = Path(builder.data_path)
        folder.mkdir(parents=True)
        writer = datasets.core.SequentialWriter(ds_info=builder.info, max_examples_per_shard=5)
        writer.initialize_splits(list(splits))
        for split, files in splits.items():
            examples = [{"image": io.BytesIO(data), "label": label} for label, data in files]
            if "file_name" in builder.info.features:
                examples = [{**fields, "file_name": f"{n}.JPEG"} for n, fields in enumerate(examples)]
            writer.add_examples({split: examples})
        writer.close_all()
    return folder


@pytest.mark.parametrize(
    ("ours", "theirs", "test_split", "num_classes"),
    [
        ("imagenet", "imagenet2012", "validation", 1000),
        ("imagenette", "imagenette/320px-v2", "validation", 10),
        ("imagenet_v2", "imagenet_v2", "test", 1000),
    ],
)
def test_what_tfds_has_written(tmp_path, ours, theirs, test_split, num_classes):
    train, test = make_files(12, num_classes=4), make_files(6, num_classes=4, seed=1)
    prepare(tmp_path, theirs, {test_split: test} if ours == "imagenet_v2" else {"train": train, test_split: test})
    images = open_set(ours, "test", tmp_path, num_classes)
    assert [(int(label), images.read(i)) for i, label in enumerate(images.labels)] == test
    if ours != "imagenet_v2":
        assert len(open_set(ours, "train", tmp_path, num_classes)) == 12
    with pytest.raises(UsageError, match=f"has {num_classes} classes; .* was expected to have 7"):
        open_set(ours, "test", tmp_path, 7)


def test_another_file_format_is_refused(tmp_path):
    folder = prepare(tmp_path, "imagenette/320px-v2", {"train": make_files(4), "validation": make_files(4)})
    about = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**about, "fileFormat": "array_record"}))
    with pytest.raises(UsageError, match="format array_record, which is not read here.*file_format='tfrecord'"):
        open_set("imagenette", "train", tmp_path, 10)


@pytest.mark.parametrize("name", ["imagenet", "imagenet_v2", "imagenette"])
def test_a_missing_set_says_what_to_do(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        open_set(name, "test", tmp_path, 1000, download=name == "imagenet")
    message = str(caught.value)
    assert "\n" not in message
    assert f"{name} is not in {tmp_path}" in message
    remedy = {"imagenet": "ILSVRC2012_img_train.tar", "imagenet_v2": "vaishaal", "imagenette": "fastai"}[name]
    assert remedy in message
    assert list(tmp_path.iterdir()) == []
