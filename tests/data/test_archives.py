"""The archive reader: right on both official layouts, and one clear error on anything else."""

import gzip
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softaug_jax.checks import UsageError
from softaug_jax.data import archives
from softaug_jax.data.archives import read_archive

LAYOUTS = [("cifar10", "binary"), ("cifar10", "python"), ("cifar100", "binary"), ("cifar100", "python")]


def read(path, name="cifar10"):
    return read_archive(path, name, expect_official_counts=False)


def problem(path, name="cifar10", **options):
    """The message of the error that reading this archive raises."""
    with pytest.raises(UsageError) as caught:
        read_archive(path, name, **{"expect_official_counts": False, **options})
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def assert_holds(archive, held):
    np.testing.assert_array_equal(archive.train.images, held.train_images)
    np.testing.assert_array_equal(archive.train.labels, held.train_labels)
    np.testing.assert_array_equal(archive.test.images, held.test_images)
    np.testing.assert_array_equal(archive.test.labels, held.test_labels)
    assert archive.train.labels.dtype == np.int32
    if archive.layout.name == "cifar100":
        np.testing.assert_array_equal(archive.train_coarse, held.train_coarse)
        np.testing.assert_array_equal(archive.test_coarse, held.test_coarse)


@pytest.mark.parametrize(("name", "form"), LAYOUTS)
def test_reads_each_layout_whatever_the_file_is_called(cifar, tmp_path, name, form):
    held = cifar.write(tmp_path / "anything", name, form)
    archive = read(tmp_path / "anything", name)
    assert (archive.layout.name, archive.layout.form) == (name, form)
    assert not archive.is_official
    assert_holds(archive, held)


def test_reads_pickles_that_python_3_wrote(cifar, tmp_path):
    held = cifar.write(tmp_path / "a.tar.gz", "cifar100", "python", pickled=cifar.python3_pickle)
    assert_holds(read(tmp_path / "a.tar.gz", "cifar100"), held)


def test_the_imitated_python_2_pickle_is_what_pickle_itself_reads(cifar):
    members, held = cifar.make_members("cifar10", "python")
    batch = pickle.loads(members["cifar-10-batches-py/test_batch"], encoding="latin1")
    planes = held.test_images.transpose(0, 3, 1, 2).reshape(-1, 3072)
    np.testing.assert_array_equal(batch["data"], planes)


def test_takes_official_counts_only_unless_told(cifar, tmp_path):
    cifar.write(tmp_path / "small.tar.gz", records=7)
    message = problem(tmp_path / "small.tar.gz", expect_official_counts=True)
    assert "7 records" in message
    assert "10000" in message


def test_reads_the_official_number_of_records(cifar, tmp_path):
    labels = (np.arange(10_000) % 10).astype(np.uint8)[:, None]
    records = np.concatenate([labels, np.full((10_000, 3072), 200, np.uint8)], axis=1).tobytes()
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    cifar.pack(tmp_path / "a.tar.gz", {file: records for file in files})
    archive = read_archive(tmp_path / "a.tar.gz", "cifar10")
    assert archive.train.images.shape == (50_000, 32, 32, 3)
    assert archive.test.images.shape == (10_000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(archive.train.labels), 5_000)


def test_the_official_checksum_is_noticed(cifar, tmp_path, monkeypatch):
    import hashlib

    cifar.write(tmp_path / "a.tar.gz")
    md5 = hashlib.md5((tmp_path / "a.tar.gz").read_bytes()).hexdigest()
    known = [layout._replace(md5=md5) for layout in archives.LAYOUTS]
    monkeypatch.setattr(archives, "LAYOUTS", tuple(known))
    assert read(tmp_path / "a.tar.gz").is_official


class Hostile:
    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_runs_nothing(cifar, tmp_path, protocol):
    mark = tmp_path / "it ran"
    bomb = pickle.dumps({"data": Hostile(os.system, f"touch '{mark}'"), "labels": []}, protocol)
    pickle.loads(bomb)
    assert mark.exists()  # the bomb works
    mark.unlink()
    members, _ = cifar.make_members("cifar10", "python")
    members["cifar-10-batches-py/data_batch_2"] = bomb
    cifar.pack(tmp_path / "a.tar.gz", members)
    message = problem(tmp_path / "a.tar.gz")
    assert "data_batch_2" in message
    assert "system" in message
    assert not mark.exists()


@pytest.mark.parametrize("call", [eval, getattr, np.load, np.frombuffer, np.fromfile, pickle.loads, __import__])
def test_only_the_names_of_an_array_are_looked_up(cifar, tmp_path, call):
    members, _ = cifar.make_members("cifar10", "python")
    members["cifar-10-batches-py/data_batch_1"] = pickle.dumps({"data": Hostile(call, "x")}, 2)
    cifar.pack(tmp_path / "a.tar.gz", members)
    assert "which was not run" in problem(tmp_path / "a.tar.gz")


FIRST = "cifar-10-batches-bin/data_batch_1.bin"
WRONG_MEMBERS = {
    "no member": (lambda m: {}, "holds nothing"),
    "others": (lambda m: {"notes.txt": b"x"}, "not a CIFAR archive: it holds notes.txt"),
    "one missing": (lambda m: {k: v for k, v in m.items() if k != FIRST}, "incomplete: .* data_batch_1.bin"),
    "one twice": (lambda m: [*m.items(), ("again/data_batch_1.bin", m[FIRST])], "data_batch_1.bin twice"),
    "half a record": (lambda m: m | {FIRST: m[FIRST][:-5]}, "data_batch_1.bin .*not a multiple"),
    "empty": (lambda m: m | {FIRST: b""}, "0 records"),
    "label": (lambda m: m | {FIRST: b"\x0a" + m[FIRST][1:]}, "labels are 0 to 10; they must be in 0 to 9"),
    "parent": (lambda m: m | {"../outside": b""}, "outside the archive"),
    "absolute": (lambda m: m | {"/etc/outside": b""}, "outside the archive"),
    "too large": (lambda m: m | {FIRST: bytes(30_730_001)}, "more than the official one"),
}


@pytest.mark.parametrize("case", WRONG_MEMBERS)
def test_wrong_members(cifar, tmp_path, case):
    change, expected = WRONG_MEMBERS[case]
    members, _ = cifar.make_members("cifar10", "binary", records=20)
    cifar.pack(tmp_path / "a.tar.gz", change(members))
    with pytest.raises(UsageError, match=expected):
        read(tmp_path / "a.tar.gz")
    problem(tmp_path / "a.tar.gz")


WRONG_BATCHES = {
    "a list": ([1, 2], "damaged pickle"),
    "no data": ({"labels": [1]}, "no entry data"),
    "no labels": ({"data": np.zeros((1, 3072), np.uint8)}, "no entry labels"),
    "floats": ({"data": np.zeros((1, 3072)), "labels": [1]}, "not uint8"),
    "shape": ({"data": np.zeros((1, 3071), np.uint8), "labels": [1]}, r"not uint8 \[n, 3072\]"),
    "count": ({"data": np.zeros((1, 3072), np.uint8), "labels": [1, 1]}, "not a list of 1"),
    "text": ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "not all class numbers"),
    "negative": ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "not all class numbers"),
    "class": ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "must be in 0 to 9"),
}


@pytest.mark.parametrize("case", WRONG_BATCHES)
def test_wrong_batches(cifar, tmp_path, case):
    batch, expected = WRONG_BATCHES[case]
    members, _ = cifar.make_members("cifar10", "python")
    members["cifar-10-batches-py/data_batch_1"] = pickle.dumps(batch, 2)
    cifar.pack(tmp_path / "a.tar.gz", members)
    with pytest.raises(UsageError, match=expected):
        read(tmp_path / "a.tar.gz")


def test_a_fortran_array_is_read_in_its_order(cifar, tmp_path):
    def fortran(batch):
        return pickle.dumps(batch | {"data": np.asfortranarray(batch["data"])}, 2)

    held = cifar.write(tmp_path / "a.tar.gz", "cifar10", "python", pickled=fortran)
    assert_holds(read(tmp_path / "a.tar.gz"), held)


def test_the_other_data_set(cifar, tmp_path):
    cifar.write(tmp_path / "a.tar.gz", "cifar100", "binary")
    assert "is an archive of cifar100, not of cifar10" in problem(tmp_path / "a.tar.gz")


def test_no_archive(tmp_path):
    assert "no such file" in problem(tmp_path / "missing.tar.gz")
    (tmp_path / "text").write_text("not an archive\n" * 100)
    problem(tmp_path / "text")
    (tmp_path / "gzip").write_bytes(gzip.compress(b"not a tar" * 1000))
    problem(tmp_path / "gzip")
    (tmp_path / "folder").mkdir()
    problem(tmp_path / "folder")


def test_a_link_in_place_of_a_member(cifar, tmp_path):
    members, _ = cifar.make_members("cifar10", "binary")
    del members[FIRST]
    cifar.pack(tmp_path / "a.tar", members, "w")
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        link = tarfile.TarInfo(FIRST)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes(), 1))
    assert "not a plain file" in problem(tmp_path / "a.tar.gz")


def test_an_archive_that_unpacks_to_too_much(cifar, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 20)
    members, _ = cifar.make_members("cifar10", "binary")
    cifar.pack(tmp_path / "a.tar.gz", {"filler": bytes(1 << 21), **members})
    assert "unpacks to more than 1 MiB" in problem(tmp_path / "a.tar.gz")


@pytest.fixture(scope="module")
def originals(cifar, tmp_path_factory):
    """One small archive of each form, as the bytes of the tar inside; and a place to write a damaged one."""
    tars = {}
    for form in ("binary", "python"):
        buffer = tmp_path_factory.mktemp("original") / "a.tar"
        cifar.pack(buffer, cifar.make_members("cifar10", form, records=2)[0], "w")
        tars[form] = buffer.read_bytes()
    return tars, tmp_path_factory.mktemp("damaged") / "a.tar.gz"


def read_or_refuse(path):
    try:
        archive = read(path)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert archive.train.images.shape[1:] == (32, 32, 3)
        assert 0 <= archive.train.labels.min() <= archive.train.labels.max() < 10


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(st.data(), st.sampled_from(["binary", "python"]))
def test_every_truncation_is_refused(originals, data, form):
    tars, path = originals
    whole = gzip.compress(tars[form], 1, mtime=0)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    problem(path)


@FUZZ
@given(st.data(), st.sampled_from(["binary", "python"]), st.booleans())
def test_flipped_bytes_are_read_or_refused(originals, data, form, inside):
    tars, path = originals
    damaged = bytearray(tars[form] if inside else gzip.compress(tars[form], 1, mtime=0))
    # Inside, most places are pixels: half the time aim at the tar's header and the codes at a pickle's start.
    last = data.draw(st.sampled_from([1200, len(damaged) - 1])) if inside else len(damaged) - 1
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path.write_bytes(gzip.compress(bytes(damaged), 1) if inside else bytes(damaged))
    read_or_refuse(path)


@FUZZ
@given(st.data())
def test_damaged_pickles_are_read_or_refused(originals, cifar, data):
    with tarfile.open(fileobj=io.BytesIO(originals[0]["python"])) as tar:
        batch = bytearray(tar.extractfile("cifar-10-batches-py/test_batch").read())
    pixels = batch.index(b"T") + 5
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, pixels) | st.integers(pixels + 2 * 3072, len(batch) - 1))
        batch[place] = data.draw(st.integers(0, 255))
    members, _ = cifar.make_members("cifar10", "python", records=2)
    members["cifar-10-batches-py/test_batch"] = bytes(batch)
    read_or_refuse(cifar.pack(originals[1], members))
