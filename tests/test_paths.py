"""Addresses of folders: what can be used, and what the errors say."""

import errno
import importlib.util
import os
from pathlib import Path

import pytest

from softaug_jax import paths
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, folder, local_folder
from softaug_jax.data import prepare
from softaug_jax.data.image_set import open_set
from softaug_jax.paths import is_in_bucket, local, path_of
from softaug_jax.train.workdir import Workdir


def test_a_path_of_this_machine_is_pathlibs(tmp_path):
    assert path_of("runs/a") == Path("runs/a") and type(path_of("runs/a")) is type(Path())
    assert path_of(tmp_path) == tmp_path
    assert not is_in_bucket(path_of(tmp_path))


def test_a_path_of_a_bucket_keeps_its_address():
    path = path_of("gs://bucket/runs") / "sa"
    assert is_in_bucket(path)
    for same in (path, path.absolute(), path.resolve(), path_of(path), path_of(str(path)), path.parent / path.name):
        assert str(same) == os.fspath(same) == "gs://bucket/runs/sa"
    assert is_in_bucket(path.parent) and is_in_bucket(path.with_suffix(".json"))
    assert str(Workdir("gs://bucket/runs/sa").path) == "gs://bucket/runs/sa"


@pytest.mark.parametrize("address", ["s3://bucket/a", "https://host/a", "az://a"])
def test_other_addresses_are_refused(address):
    with pytest.raises(UsageError, match=rf"^{address} can't be used: .* as in gs://BUCKET/DIR\.$"):
        path_of(address)


def test_without_gcsfs_the_way_to_install_it_is_told(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gcsfs" else found(name))
    with pytest.raises(UsageError, match=r'^gs://bucket/a .* Install it with pip install -e "\.\[gcs\]"\.$'):
        path_of("gs://bucket/a")


def test_what_must_be_here_is_refused_elsewhere(tmp_path):
    with pytest.raises(UsageError, match=r"^gs://bucket/a is not on this machine\. .* gcloud storage cp"):
        local("gs://bucket/a")
    with pytest.raises(UsageError, match=r"^gs://bucket/data is not on this machine"):
        prepare.prepare("cifar10", "archive.tar.gz", "gs://bucket/data", "npz")
    with pytest.raises(UsageError, match=r"config\.data\.dir = 'gs://bucket/data': .* Copy imagenet to this machine"):
        open_set("imagenet", "train", "gs://bucket/data", 1000)
    assert local(tmp_path) == tmp_path


@pytest.mark.parametrize(("kind", "address"), [(folder, "s3://bucket/a"), (local_folder, "gs://bucket/a")])
def test_options_say_what_is_wrong_with_an_address(kind, address, capsys):
    parser = Parser(prog="prog")
    parser.add_argument("--out", type=kind)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--out={address}"])
    assert capsys.readouterr().err.startswith(f"prog: argument --out: {address} ")


class HttpError(Exception):
    """As gcsfs raises it: no OSError, with the status as `code`."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


@pytest.mark.parametrize(
    ("raised", "number", "words"),
    [
        (HttpError(403, "caller does not have storage.objects.create access"), errno.EACCES, "caller does not have"),
        (HttpError("401", "Anonymous caller"), errno.EACCES, "Anonymous caller"),
        (HttpError(503, "Backend\n Error."), errno.EIO, "Backend Error"),
        (ValueError(), errno.EIO, "ValueError"),
        (FileNotFoundError("bucket/a"), errno.ENOENT, "No such file or directory"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), errno.ECONNREFUSED, "Connection refused"),
    ],
)
def test_every_error_of_a_bucket_is_an_oserror_in_words(raised, number, words):
    def ask(self):
        raise raised

    with pytest.raises(OSError, match=words) as caught:
        paths._with_os_errors(ask)("gs://bucket/a")
    assert (caught.value.errno, caught.value.filename) == (number, "gs://bucket/a")
    assert caught.value.strerror.startswith(words)
    assert caught.value.__cause__ is raised
