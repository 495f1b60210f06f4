"""Weights of a network as one .npz file: arrays by flat dotted names, such as params.blocks.0.conv1.kernel."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softaug_jax.checks import UsageError
from softaug_jax.models import Model
from softaug_jax.paths import local


def names(model: Model) -> dict[str, tuple[int, ...]]:
    """The shape of every array of the network, by its name, in the order of `from_flat`."""
    return {name: leaf.shape for name, leaf in _flat(_abstract(model)).items()}


def from_flat(model: Model, arrays: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
    """(params, batch_stats) in float32 from arrays by their names, all of which must be there."""
    leaves = [jnp.asarray(arrays[name], jnp.float32) for name in names(model)]
    tree = jax.tree.unflatten(jax.tree.structure(_abstract(model)), leaves)
    return tree["params"], tree["batch_stats"]


def save(path: str | os.PathLike, params: Any, batch_stats: Any) -> None:
    """Writes the weights; the file appears when it is complete."""
    target = local(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays = jax.tree.map(np.asarray, _flat({"params": params, "batch_stats": batch_stats}))
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | os.PathLike, model: Model) -> tuple[Any, Any]:
    """Reads what `save` wrote.

    Args:
      path: the .npz file.
      model: the network that the weights are of, as `models.create` gives it.

    Returns:
      (params, batch_stats), float32.

    Raises:
      UsageError: if the file can't be read, or its names or shapes are not the network's.
    """
    arrays = read_npz(path)
    fix = "Create the network with the name, num_classes, channels and stem that the file was made with."
    check_fit(path, arrays, names(model), fix)
    return from_flat(model, arrays)


def check_fit(
    source: str | os.PathLike, arrays: Mapping[str, np.ndarray], needed: Mapping[str, tuple[int, ...]], fix: str
) -> None:
    """Raises UsageError unless `arrays` are those `needed`, by name and shape, and no others."""
    for name in needed:
        if name not in arrays:
            raise UsageError(f"{source} has no {name}, which the network needs. {fix}")
    for name in arrays:
        if name not in needed:
            raise UsageError(f"{source} has {name}, which the network does not. {fix}")
    for name, shape in needed.items():
        if arrays[name].shape != shape:
            raise UsageError(f"{source}: {name} has shape {arrays[name].shape}, the network needs {shape}. {fix}")


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, all of them of numbers; UsageError if it is missing, damaged or something else."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise UsageError(f"{path} holds a single array. It must be an .npz file of named arrays.")
            arrays = {name: loaded[name] for name in loaded.files}
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}.") from None
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{path} is damaged or not an .npz file of plain arrays ({error}). Make it again.") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.number):
            raise UsageError(f"{path}: {name} is not an array of numbers. It must be an .npz file of plain arrays.")
    return arrays


def _flat(tree: Any) -> dict[str, Any]:
    """The leaves of a tree, by their dotted names."""
    named = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in named}


def _abstract(model: Model) -> dict[str, Any]:
    params, batch_stats = jax.eval_shape(model.init, jax.random.key(0))
    return {"params": params, "batch_stats": batch_stats}
