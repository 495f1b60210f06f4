"""Options of all kinds are read or refused with a sentence; nothing in them is run."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import common
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of

DEFAULTS = dict(model="resnet18", epochs=500, gamma=1.0, soft=True)
TEXT = st.text(max_size=12)
WORDS = st.sampled_from(["model", "epochs", "gamma", "soft", "=", ",", "1", "-1", "1e999", "nan", "true", "True", "٣"])
ARGUMENTS = st.lists(WORDS | TEXT, max_size=8).map("".join)


@given(ARGUMENTS)
@settings(max_examples=300)
def test_arguments_are_read_in_their_types_or_refused(text):
    try:
        read = common.parse_arg(text, **DEFAULTS)
    except ValueError as error:
        assert str(error).startswith("config argument ")
        return
    assert {name: type(value) for name, value in vars(read).items()} == {
        name: type(value) for name, value in DEFAULTS.items()
    }
    given_last = {item.split("=", 1)[0]: item.split("=", 1)[1] for item in text.split(",") if item}
    for name, default in DEFAULTS.items():
        expected = {"true": True, "false": False}.get(given_last.get(name)) if name == "soft" else None
        if name not in given_last:
            assert getattr(read, name) == default
        elif expected is not None:
            assert read.soft is expected
        elif name == "model":
            assert read.model == given_last[name]


FILES = st.sampled_from(["configs/digits_sa.py", "configs/digits_sa.py:", "README.md", "configs", "/dev/null/x", ""])
FIELDS = st.sampled_from(["seed", "augment", "augment.sigma", "augment.sigmaa", "evals.final", "data.dir", "a.b.c"])
CODE = "__import__('pathlib').Path({mark!r}).touch()"
OPTIONS = st.tuples(FILES, ARGUMENTS, st.lists(st.tuples(FIELDS | TEXT, TEXT | st.just("CODE")), max_size=3))


@given(OPTIONS)
@settings(max_examples=60)
def test_command_lines_are_read_or_refused_and_never_run(tmp_path_factory, options):
    mark = tmp_path_factory.getbasetemp() / "it ran"
    file, argument, fields = options
    code = CODE.format(mark=str(mark))
    words = [f"--config={file}{argument}", *(f"--config.{name}={code if v == 'CODE' else v}" for name, v in fields)]
    try:
        config_of(words)
    except UsageError as error:
        assert str(error)
    assert not mark.exists()


def test_a_config_file_that_is_not_python_is_named(tmp_path):
    path = Path(tmp_path / "wrong.py")
    path.write_text("def get_config(:\n")
    with pytest.raises(UsageError, match=r"--config can't be read: invalid syntax \(wrong.py, line 1\)"):
        config_of([f"--config={path}"])
