"""What a figure shows, read from its artists."""

from contextlib import contextmanager

import pytest


@pytest.fixture
def drawn(monkeypatch):
    """draw(module, function, *args): the axes of what the module's function draws, which is written as ever."""

    def draw(module, function, *args):
        kept, real = [], module.drawing

        @contextmanager
        def drawing(*size, **subplots):
            with real(*size, **subplots) as (figure, axes):
                yield figure, axes
            kept.extend(axes)

        monkeypatch.setattr(module, "drawing", drawing)
        function(*args)
        return kept

    return draw
