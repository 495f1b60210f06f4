"""What the commands share that take no config: the parser, errors as one line, and the tables that configs/ names."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from softaug_jax.checks import UsageError
from softaug_jax.paths import local, path_of

if TYPE_CHECKING:
    from configs.tables import Cell


def as_command(main: Callable[[list[str]], int]) -> Callable[..., int]:
    """`main` of the command line's words, or of those given; UsageError in it becomes one line and exit code 2."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(list(sys.argv[1:] if argv is None else argv))
        except UsageError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2

    return run


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and takes no option for another that begins like it (--seed for --seeds)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def parse_with_extra(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The options before the first --, and the words after it, which are main.py's."""
        words = list(words)
        at = words.index("--") if "--" in words else len(words)
        args, unknown = self.parse_known_args(words[:at])
        if unknown:
            self.error(
                f"{unknown[0]!r} is not understood; options of main.py come after --, as in -- --config.data.dir=DIR"
            )
        return args, words[at + 1 :]


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Adds --dataset and --model, each of which may be given several times."""
    parser.add_argument("--dataset", action="append", default=[], help="a data set of the table; default: the paper's")
    parser.add_argument("--model", action="append", default=[], help="default: the table's; any other has its rows too")


def cells(
    table: str, datasets: Collection[str] = (), models: Collection[str] = (), methods: Collection[str] = ()
) -> list[Cell]:
    """The cells of a table, see configs/tables.py.

    Raises:
      UsageError: if this is no checkout, or a name is unknown.
    """
    tables = _tables()
    try:
        return tables.cells(table, datasets, models, methods)
    except ValueError as error:
        raise UsageError(str(error)) from None


def datasets_of(table: str) -> tuple[str, ...]:
    """The data sets that a table of configs/tables.py can be of; raises UsageError if this is no checkout."""
    return tuple(_tables().TABLES[table].models)


def _tables() -> ModuleType:
    missing = [name for name in ("main.py", "configs/tables.py") if not Path(name).is_file()]
    if missing:
        raise UsageError(
            f"{Path.cwd()} is not a checkout of softaug_jax: it has no {' and no '.join(missing)}, which the tables "
            "need. Change to the folder that holds main.py and configs/."
        )
    from configs import tables

    return tables


def folder(text: str, read: Callable[[str], Path] = path_of) -> Path:
    """A folder or file here or in a bucket, as an option's value."""
    try:
        return read(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def local_folder(text: str) -> Path:
    """A folder on this machine, as an option's value."""
    return folder(text, local)


def several(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Values separated by commas, each as `read` takes it, for argparse."""
    return lambda text: [read(word) for word in text.split(",") if word]


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, at least 1")
    return value
