"""Imports a torchvision state dict, so that published weights can be evaluated. Touches no network.

python -m softaug_jax.models.import_torchvision {resnet18,resnet50,resnet101,efficientnet_b0} FILE --out=OUT.npz

FILE is what torch.save(model.state_dict(), FILE) wrote (.pth or .pt, which needs PyTorch to be read), or the same
arrays by the same names as .npz, which does not. To read OUT.npz:

model = softaug_jax.models.create(NETWORK, num_classes=1000, channels=3, stem="imagenet")
params, batch_stats = softaug_jax.models.weights.load(OUT.npz, model)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.commands import Parser, as_command
from softaug_jax.models import efficientnet, resnet, weights

NETWORKS = models.WITH_IMAGENET_STEM
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
RESNET = {
    "stem": "conv1",
    "stem_norm": "bn1",
    "norm1": "bn1",
    "norm2": "bn2",
    "norm3": "bn3",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
    "classifier": "fc",
}
EFFICIENTNET = {
    "stem": "features.0.0",
    "stem_norm": "features.0.1",
    "head_conv": "features.8.0",
    "head_norm": "features.8.1",
    "classifier": "classifier.1",
}
# In torchvision a block is a list of these; a block that does not expand lacks the first.
MBCONV = ("expand", "depthwise", "squeeze", "project")
IN_MBCONV = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}


@as_command
def main(words: list[str]) -> int:
    """Reads the state dict and writes the weights."""
    parser = Parser(
        prog="python -m softaug_jax.models.import_torchvision", description="Imports a torchvision state dict."
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("file", help="the state dict: .pth or .pt, or the same arrays as .npz")
    parser.add_argument("--out", required=True, help="the .npz file to write")
    args = parser.parse_args(words)
    if not args.out.endswith(".npz"):
        raise UsageError(f"--out={args.out} must end with .npz.")
    tensors = read(args.file)
    params, batch_stats = convert(args.network, tensors, source=args.file)
    try:
        weights.save(args.out, params, batch_stats)
    except OSError as error:
        raise UsageError(str(error)) from None
    count = sum(np.size(tensors[name]) for name in tensors if not _is_counter(name))
    classes = params["classifier"]["bias"].size
    print(f"Wrote {args.network}, {classes} classes, {count:,} parameters and statistics, to {args.out}.")
    return 0


def convert(
    network: str, tensors: Mapping[str, np.ndarray], *, stem: str = "imagenet", source: str | os.PathLike = "state dict"
) -> tuple[Any, Any]:
    """Turns a state dict into (params, batch_stats). The number of classes is the classifier's.

    Args:
      network: one of NETWORKS.
      tensors: every array of the state dict by torchvision's names.
      stem: the network's, as in `models.create`; torchvision's own is "imagenet".
      source: what errors call the state dict.

    Raises:
      UsageError: if a tensor is missing, left over, or of another shape.
    """
    bias = tensors.get(torch_name(network, "params.classifier.bias"))
    classes = 1000 if bias is None else bias.size
    model = models.create(network, num_classes=classes, channels=3, dtype="float32", stem=stem)
    shapes = weights.names(model)
    theirs = {name: torch_name(network, name) for name in shapes}
    needed = {theirs[name]: _to_torch_shape(shape) for name, shape in shapes.items()}
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_counter(name)}
    weights.check_fit(source, tensors, needed, f"Is it of another network than {network}?")
    return weights.from_flat(model, {name: _to_flax(tensors[theirs[name]]) for name in shapes})


def torch_name(network: str, name: str) -> str:
    """Torchvision's name for an array, from ours: params.blocks.0.conv1.kernel is layer1.0.conv1.weight."""
    _, *path, leaf = name.split(".")
    block_name = _mbconv if network == "efficientnet_b0" else _residual
    outside = EFFICIENTNET if network == "efficientnet_b0" else RESNET
    layer = block_name(network, int(path[1]), path[2:]) if path[0] == "blocks" else outside[path[0]]
    return f"{layer}.{LEAVES[leaf]}"


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a state dict on disk by their names.

    Raises:
      UsageError: if the file is missing, or is no state dict.
    """
    suffix = Path(path).suffix
    if suffix == ".npz":
        return weights.read_npz(path)
    if suffix not in (".pth", ".pt"):
        raise UsageError(f"{path} must end with .pth, .pt or .npz.")
    if not Path(path).is_file():
        raise UsageError(f"{path} is not there, or not a file. Name the state dict's file.")
    return _read_torch(path)


def _read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise UsageError(
            f"{path} needs PyTorch to be read: pip install torch, or save its arrays elsewhere with numpy.savez."
        ) from None
    fix = "Save one with torch.save(model.state_dict(), FILE)"
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # runs no code of the file's
    except Exception as error:  # foreign bytes: pickle, zip and torch each raise their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if reason.startswith("Weights only"):  # torch's own words go on to say how to load it all the same
            reason = "it does not read as tensors alone, and Python objects are not loaded, since they may run code"
        raise UsageError(f"{path} is damaged or not a state dict ({reason}). {fix}.") from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        held = f"a dict of {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else type(loaded)
        raise UsageError(f"{path} is not a state dict: it holds {held}. {fix}.")
    return {name: tensor.float().numpy() for name, tensor in loaded.items()}


def _residual(network: str, index: int, path: list[str]) -> str:
    stage, i = _locate(index, resnet.DEPTHS[network])
    return f"layer{stage}.{i}.{RESNET.get(path[0], path[0])}"


def _mbconv(network: str, index: int, path: list[str]) -> str:
    stage, i = _locate(index, [row.blocks for row in efficientnet.B0])
    part, layer = path if path[0] == "squeeze" else path[0].split("_")
    position = MBCONV.index(part) - (efficientnet.B0[stage - 1].expand == 1)
    return f"features.{stage}.{i}.block.{position}.{IN_MBCONV[layer]}"


def _locate(index: int, counts: Sequence[int]) -> tuple[int, int]:
    """The stage, from 1, and the place in it of block `index`."""
    for stage, count in enumerate(counts, start=1):
        if index < count:
            return stage, index
        index -= count
    raise IndexError(index)


def _to_flax(tensor: np.ndarray) -> np.ndarray:
    """Convolutions [O, I, H, W] to [H, W, I, O], matrices [O, I] to [I, O]."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T if tensor.ndim == 2 else tensor


def _to_torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[::-1][:2] + shape[:2] if len(shape) == 4 else shape[::-1]


def _is_counter(name: str) -> bool:
    """BatchNorm's number of batches seen, which nothing needs."""
    return name.endswith("num_batches_tracked")


if __name__ == "__main__":
    sys.exit(main())
