"""How the files of a run are read and written: JSON objects, and rows of metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from softaug_jax.checks import UsageError
from softaug_jax.paths import is_in_bucket

Tree = dict[str, Any]

# Fields that do not change what a run computes: where its data are, and how they are read.
DATA_FIELDS = ("data.dir", "data.download", "data.threads", "data.v2_dir")

# Fields of configs that runs of earlier versions lack, by section, with the values by which those trained.
ADDED_LATER: dict[str, Tree] = {
    "augment": {"fill_noise": 0.0},
    "data": {"images_per_class": 0},
    "model": {"norm_group": 0, "stem": "cifar", "head": "linear", "spectral_bound": 0.0},
    "optimizer": {"warmup_epochs": 0, "decayed": "all"},
}


def flatten(tree: Tree, prefix: str = "") -> Tree:
    """Nested dictionaries as one, with dotted names."""
    flat: Tree = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return flat


def settings(config: Tree) -> Tree:
    """A run's config, flat, with the fields that were added after it ran."""
    return flatten(completed(config))


def completed(config: Tree) -> Tree:
    """A run's config with the fields that were added after it ran, where their section is there."""
    return {
        name: {**ADDED_LATER.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in config.items()
    }


def read_json(path: Path) -> Tree:
    """Reads a JSON object, or raises UsageError that names the file."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read as JSON: {error}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} does not hold a JSON object.")
    return content


def read_history(path: Path) -> list[Tree]:
    """The rows of a metrics.jsonl, the last one of each step and split, by step and else as they were written.

    A last line that was cut off while being written is left out.

    Raises:
      UsageError: if another line is damaged.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    rows: dict[tuple[int, str], Tree] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[row["step"], row["split"]] = row
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                raise UsageError(f"{path}, line {number}, can't be read as a row of metrics.") from None
    return sorted(rows.values(), key=lambda row: row["step"])


def write_json(path: Path, content: Tree) -> None:
    """Writes a JSON file, whole or not at all."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    if is_in_bucket(path):  # an object is only ever seen whole
        path.write_text(text)
        return
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, the room is wanted
        raise
