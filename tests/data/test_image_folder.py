"""Sets in folders: the order of classes and files, the index's cache, and where a set is looked for."""

import os
import tracemalloc

import numpy as np
import pytest

from softaug_jax.checks import UsageError
from softaug_jax.data.image_folder import ImageFolder
from softaug_jax.data.image_set import open_set
from softaug_jax.data.index_files import cached_index
from tests.data.made_images import class_names, make_files, make_folders, write_folders


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def names_of(images):
    return [os.path.relpath(images.name(i), images.root) for i in range(len(images))]


def test_files_come_class_after_class_in_the_order_of_names(tmp_path):
    files = make_files(20, num_classes=4)
    root = write_folders(tmp_path / "train", files, class_names(4))
    images = ImageFolder(root)
    expected = sorted(range(20), key=lambda number: (files[number][0], number))
    assert images.labels.dtype == np.int32
    assert images.labels.tolist() == [files[number][0] for number in expected]
    assert [images.read(i) for i in range(20)] == [files[number][1] for number in expected]
    assert len(images) == 20


def test_the_order_is_torchvision_s(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    root = write_folders(tmp_path / "train", make_files(30, num_classes=5), ["b", "a", "C", "n02", "n010"])
    theirs = datasets.ImageFolder(str(root))
    images = ImageFolder(root)
    assert [(images.name(i), int(images.labels[i])) for i in range(len(images))] == theirs.samples


def test_numbered_folders_are_sorted_as_numbers(tmp_path):
    for number in range(12):
        touch(tmp_path / "v2" / str(number) / f"{number}.jpeg")
    images = ImageFolder(tmp_path / "v2")
    assert images.labels.tolist() == list(range(12))
    assert names_of(images) == [f"{n}/{n}.jpeg" for n in range(12)]  # by letters, 10 would come after 1
    for name in ("a1", "a10", "a2"):
        touch(tmp_path / "words" / name / "x.jpeg")
    assert ImageFolder(tmp_path / "words").classes == ["a1", "a10", "a2"]


def test_the_same_number_twice_is_refused(tmp_path):
    touch(tmp_path / "v2" / "7" / "x.jpg")
    touch(tmp_path / "v2" / "07" / "x.jpg")
    with pytest.raises(UsageError, match="the same number"):
        ImageFolder(tmp_path / "v2")


def test_other_files_do_not_count(tmp_path):
    for name in ("a.JPEG", "b.jpg", "c.Png", "d.txt", "e.jpeg.tar", ".f.jpg", "g"):
        touch(tmp_path / "set" / "one" / name)
    touch(tmp_path / "set" / "list.jpg")  # not in a class folder
    touch(tmp_path / "set" / ".hidden" / "x.jpg")
    images = ImageFolder(tmp_path / "set")
    assert names_of(images) == ["one/a.JPEG", "one/b.jpg", "one/c.Png"]
    assert images.classes == ["one"]


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff\xfe \xc3\xa4.jpg")
    touch(tmp_path / "set" / "one" / name, b"data")
    images = ImageFolder(tmp_path / "set")
    assert images.read(0) == b"data" and images.name(0).endswith(name)


def test_the_list_is_made_once_and_again_when_a_folder_changes(tmp_path, monkeypatch):
    root = write_folders(tmp_path / "train", make_files(8), class_names(4))
    lists = []
    made = ImageFolder._list
    monkeypatch.setattr(ImageFolder, "_list", lambda self: (lists.append(1), made(self))[1])
    first = ImageFolder(root)
    again = ImageFolder(root)
    assert len(lists) == 1
    assert names_of(first) == names_of(again) and first.digest() == again.digest()
    folder = root / class_names(4)[1]
    touch(folder / "zzz.jpg")
    os.utime(folder, ns=(1, 1))  # whatever the file system's clock shows
    changed = ImageFolder(root)
    assert len(lists) == 2 and len(changed) == 9
    assert changed.digest() != first.digest()
    assert len(first) == 8 and names_of(first) == names_of(again)  # what is open stays as it was
    (root / "another").mkdir()
    assert len(ImageFolder(root).classes) == 5 and len(lists) == 3


def test_the_cache_lies_beside_the_set_and_a_damaged_one_is_made_again(tmp_path):
    root = write_folders(tmp_path / "train", make_files(8), class_names(4))
    names = names_of(ImageFolder(root))
    assert sorted(path.name for path in root.iterdir()) == class_names(4)
    (folder,) = (tmp_path / ".softaug_jax").iterdir()  # nothing half written stays
    assert folder.name.startswith("train-")
    for name in ("about.json", "names.npy", "starts.npy"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        assert names_of(ImageFolder(root)) == names
        assert (folder / name).read_bytes() == whole


@pytest.mark.parametrize("user_cache", [True, False])
def test_where_nothing_can_be_written_beside_the_set(tmp_path, monkeypatch, user_cache):
    root = write_folders(tmp_path / "sets" / "train", make_files(8), class_names(4))
    touch(tmp_path / "sets" / ".softaug_jax")  # a file: no folder can be made, whoever tries
    cache = tmp_path / "cache"
    if not user_cache:
        touch(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    images = ImageFolder(root)
    assert len(images) == 8 and names_of(images)[0].endswith(".JPEG")
    if user_cache:
        assert len(list((cache / "softaug_jax").iterdir())) == 1
        assert names_of(ImageFolder(root)) == names_of(images)


def test_memory_does_not_grow_with_the_set(tmp_path):
    held = []
    for count in (1_000, 20_000):
        root = tmp_path / str(count)
        (root / "one").mkdir(parents=True)
        for number in range(count):
            (root / "one" / f"ILSVRC2012_val_{number:08d}.JPEG").touch()
        ImageFolder(root)  # makes the index
        tracemalloc.start()
        images = ImageFolder(root)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(images) == count and images.name(count - 1).endswith(f"{count - 1:08d}.JPEG")
    assert held[1] < held[0] + 2_000  # a byte an image would be 19,000 more


def test_an_empty_or_missing_folder(tmp_path):
    with pytest.raises(UsageError, match="can't be listed"):
        ImageFolder(tmp_path / "none")
    (tmp_path / "set" / "one").mkdir(parents=True)
    with pytest.raises(UsageError, match="1 class folders and no image"):
        ImageFolder(tmp_path / "set")


def test_an_index_that_another_process_has_made_meanwhile_is_used_and_not_replaced(tmp_path):
    arrays, inodes = {"x": np.arange(5)}, []

    def build():
        cached_index(tmp_path / "set", "now", lambda: arrays)  # the other process is faster
        inodes.append((next((tmp_path / ".softaug_jax").iterdir()) / "x.npy").stat().st_ino)
        return arrays

    found = cached_index(tmp_path / "set", "now", build)
    np.testing.assert_array_equal(found["x"], arrays["x"])
    (folder,) = (tmp_path / ".softaug_jax").iterdir()
    assert (folder / "x.npy").stat().st_ino == inodes[0]
    assert cached_index(tmp_path / "set", "later", lambda: {"x": np.arange(3)})["x"].size == 3
    assert cached_index(tmp_path / "set", "now", lambda: 1 / 0)["x"].size == 5  # both are there


def test_train_and_val_are_found(tmp_path):
    make_folders(tmp_path / "data", train=12, test=8)
    for directory in (tmp_path / "data", tmp_path / "data" / "train"):
        assert len(open_set("imagenet", "train", directory, 4)) == 12
        assert len(open_set("imagenet", "test", directory, 4)) == 8
    (tmp_path / "data" / "val").rename(tmp_path / "data" / "validation")
    assert len(open_set("imagenette", "test", tmp_path / "data", 4)) == 8


@pytest.mark.parametrize("names", [["0", "1", "2", "3"], class_names(4)])
def test_imagenet_v2_in_both_layouts(tmp_path, names):
    root = write_folders(tmp_path / "imagenetv2-matched-frequency-format-val", make_files(8), names)
    for directory in (root, tmp_path):
        images = open_set("imagenet_v2", "test", directory, 4)
        assert len(images) == 8 and images.root == root
    with pytest.raises(UsageError, match="no training images"):
        open_set("imagenet_v2", "train", tmp_path, 4)
    write_folders(tmp_path / "imagenetv2-top-images-format-val", make_files(8), names)
    with pytest.raises(UsageError, match=r"several versions of ImageNet-V2 .* in config.data.v2_dir"):
        open_set("imagenet_v2", "test", tmp_path, 4)


def test_a_folder_of_data_sets_is_not_taken_for_imagenet_v2(tmp_path):
    for name in ("imagenet2012", "downloads"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=f"imagenet_v2 is not in {tmp_path}"):
        open_set("imagenet_v2", "test", tmp_path, 1000)
    (tmp_path / "17").mkdir()
    with pytest.raises(UsageError, match="has 3 class folders"):
        open_set("imagenet_v2", "test", tmp_path, 1000)


def test_another_number_of_classes_is_refused(tmp_path):
    make_folders(tmp_path, train=12, test=8)
    with pytest.raises(UsageError, match=r"train has 4 class folders \(n00010000, .* imagenet has 1000 classes"):
        open_set("imagenet", "train", tmp_path, 1000)


def test_what_can_not_be_looked_for(tmp_path):
    with pytest.raises(UsageError, match="config.data.dir = 'x.*y' can't be looked into"):
        open_set("imagenet", "train", "x\0y", 4)
    with pytest.raises(UsageError, match="config.data.v2_dir = '~no_such_user/x' can't be looked into"):
        open_set("imagenet_v2", "test", "~no_such_user/x", 4)
    with pytest.raises(UsageError, match="config.data.v2_dir = 'gs://bucket/x': images are read one by one"):
        open_set("imagenet_v2", "test", "gs://bucket/x", 4)
    with pytest.raises(ValueError, match="data set = 'cifar10' is unknown"):
        open_set("cifar10", "train", tmp_path, 4)
    with pytest.raises(ValueError, match="split = 'valid' is unknown"):
        open_set("imagenet", "valid", tmp_path, 4)
