"""Modules of one's own that a config names in `config.imports`: data sets, networks and augmentations by name.

Such a module adds entries to `data.info.INFO`, `models.MODELS`, or `tasks.classification`'s POLICIES and ERASERS. It is
imported wherever a run's config is read, so that what evaluates and reports the run finds them as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from softaug_jax.checks import UsageError


def import_own(config: Mapping[str, Any]) -> None:
    """Imports the modules that the config's `imports` names, separated by commas, if it has that field.

    Raises:
      UsageError: if there is no such module, or it can't be imported.
    """
    if "imports" not in config:
        return
    for name in filter(None, config["imports"].split(",")):
        try:
            importlib.import_module(name)
        except Exception as error:  # the module is the user's: anything may be wrong in it
            raise UsageError(
                f"config.imports = {config['imports']!r}: {name} can't be imported ({type(error).__name__}: {error}). "
                "The folder it is in must be on PYTHONPATH."
            ) from error
