"""Appending to files that can't be appended to: nothing is lost, nothing is written twice."""

import errno
import time

import pytest

from softaug_jax.appending import Appender, Rewriter, appender


class Full:
    """A path whose writes fail as long as it is full; it counts them."""

    def __init__(self, path):
        self.path, self.full, self.writes = path, False, 0

    def exists(self):
        return self.path.exists()

    def read_bytes(self):
        return self.path.read_bytes()

    def write_bytes(self, data):
        self.writes += 1
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.path.write_bytes(data)


def test_an_appender_on_this_machine_writes_at_once(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(b"1\n")
    rows = appender(path)
    assert isinstance(rows, Appender)
    rows.append(b"2\n")
    assert path.read_bytes() == b"1\n2\n"
    rows.close()


def test_a_rewriter_goes_on_after_what_is_there(tmp_path):
    (tmp_path / "rows").write_bytes(b"1\n")
    rows = Rewriter(tmp_path / "rows")
    rows.append(b"2\n")
    assert (tmp_path / "rows").read_bytes() == b"1\n2\n"


def test_a_rewriter_writes_at_times_and_when_told(tmp_path):
    path = Full(tmp_path / "rows")
    rows = Rewriter(path, seconds=3600)
    for number in range(5):
        rows.append(b"%d\n" % number)
    assert (path.writes, path.read_bytes()) == (1, b"0\n")
    rows.flush()
    assert (path.writes, path.read_bytes()) == (2, b"0\n1\n2\n3\n4\n")
    rows.flush()
    assert path.writes == 2  # there was nothing left


def test_a_rewriter_writes_again_after_its_time(tmp_path, monkeypatch):
    path, now = Full(tmp_path / "rows"), 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rows = Rewriter(path, seconds=10)
    rows.append(b"1\n")
    now = 109.0
    rows.append(b"2\n")
    assert path.read_bytes() == b"1\n"
    now = 110.0
    rows.append(b"3\n")
    assert path.read_bytes() == b"1\n2\n3\n"


def test_a_rewriter_keeps_what_it_could_not_write(tmp_path):
    path = Full(tmp_path / "rows")
    rows = Rewriter(path, seconds=0)
    path.full = True
    for number in range(2):
        with pytest.raises(OSError, match="No space left"):
            rows.append(b"%d\n" % number)
    path.full = False
    rows.append(b"2\n")
    assert path.read_bytes() == b"0\n1\n2\n"
