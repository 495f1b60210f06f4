"""Modules of one's own that a config names in `config.imports`: what they add is chosen by its name.

Such a module adds entries to `data.info.INFO`, `models.MODELS`, and in `tasks` to `augmentations`'s POLICIES, CROPS and
ERASERS, `class_objective`'s SOFTENINGS and LOSSES, or `pair_objective`'s PAIR_WEIGHTS. The run's files keep its name,
so that what evaluates and reports the run asks for it as well.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from softaug_jax.checks import UsageError

T = TypeVar("T")
TRUSTED = "SOFTAUG_IMPORTS"  # the environment's: modules that may be imported for a run whose files name them


class Entries(dict[str, T]):
    """What a config names: functions of the same arguments, the library's, to which one's own are added."""

    def __init__(self, takes: tuple[str, ...], shipped: Mapping[str, T]):
        super().__init__(shipped)
        self.takes, self.shipped = takes, dict(shipped)

    def is_own(self, name: str) -> bool:
        """Whether an entry of this name is the user's, which may do anything."""
        return name not in self.shipped


def check_entry(config: Mapping[str, Any], field: str, name: str, entries: Entries[Any]) -> None:
    """Raises UsageError for an entry that reports would take for another, or that can't be called as it will be.

    Args:
      config: which has named it.
      field: of the config, for the message.
      name: of the entry, which is there.
      entries: among which it is.
    """
    entry, chosen = entries[name], f"config.{field} = {name!r}"
    if not entries.is_own(name) and entry is not entries.shipped[name]:
        raise UsageError(f"{chosen} is the library's own, and was replaced. Give what replaces it a name of its own.")
    if entries.is_own(name) and not _names(config.get("imports", "")):
        raise UsageError(
            f"{chosen} is not the library's own, and the config does not say which module adds it, by which reports "
            "tell it from another of that name. Set config.imports."
        )
    try:
        inspect.signature(entry).bind(*entries.takes)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{chosen} can't be called with ({', '.join(entries.takes)}): {error}.") from None


def import_own(config: Mapping[str, Any]) -> None:
    """Imports the modules that the config's `imports` names, separated by commas, if it has that field.

    Raises:
      UsageError: if there is no such module, or it can't be imported.
    """
    for name in _names(config.get("imports", "")):
        try:
            importlib.import_module(name)
        except Exception as error:  # the module is the user's: anything may be wrong in it
            raise UsageError(
                f"config.imports = {config['imports']!r}: {name} can't be imported ({type(error).__name__}: {error}). "
                "The folder it is in must be on PYTHONPATH, and the checkout if it imports configs."
            ) from error


def import_for(workdir: Path, config: Mapping[str, Any]) -> None:
    """Imports what a finished run's config names. Its files may be another's, and so don't decide what is executed.

    Raises:
      UsageError: if a module has not been imported before and is not in the environment's SOFTAUG_IMPORTS; or as
        `import_own`.
    """
    trusted = _names(os.environ.get(TRUSTED, ""))
    names = _names(config.get("imports", ""))
    for name in names:
        if name not in sys.modules and name not in trusted:
            wanted = ",".join(dict.fromkeys([*trusted, *names]))
            raise UsageError(
                f"{workdir} was trained with the module {name}, which is not imported on the word of a file. If you "
                f"trust it, set {TRUSTED}={wanted} in the environment, or import it first."
            )
    import_own(config)


def _names(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]
