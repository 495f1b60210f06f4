"""For the tests of whole runs."""

import pytest

from tests.train.helpers import on_one_device


@pytest.fixture(scope="module")
def one_device():
    """Runs in this process go over one device."""
    with on_one_device():
        yield
