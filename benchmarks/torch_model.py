"""The residual networks of the recipe in PyTorch, as softaug_jax/models/resnet.py has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from softaug_jax.checks import UsageError

# Depths, widths, and whether a shortcut that changes shape is a projection or pads with zero channels.
NETWORKS = {
    "resnet8": ((1, 1, 1), (16, 32, 64), False),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512), True),
    "resnet20": ((3, 3, 3), (16, 32, 64), False),
}


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int, project: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride, self.new_channels = stride, channels - channels_in
        self.shortcut: nn.Module | None = None
        if project and (stride != 1 or self.new_channels):
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            return functional.relu(y + self.shortcut(x))
        if self.stride != 1 or self.new_channels:
            half = self.new_channels // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.new_channels - half))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """The stem for small images, stages of blocks, global average, linear classifier."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], project: bool, *, channels: int, num_classes: int):
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        blocks, before = [], widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for i in range(depth):
                blocks.append(Block(before, width, 2 if stage > 0 and i == 0 else 1, project))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W], normalised, to logits [B, N]."""
        x = self.blocks(functional.relu(self.stem_norm(self.stem(x))))
        return self.classifier(x.mean((2, 3)))


def create(name: str, *, channels: int, num_classes: int) -> ResNet:
    """A network by name; UsageError if the peer has it not."""
    if name not in NETWORKS:
        raise UsageError(f"The PyTorch peer has no {name}. Choose from {', '.join(NETWORKS)}.")
    return ResNet(*NETWORKS[name], channels=channels, num_classes=num_classes)


def initialise(model: nn.Module, seed: int) -> None:
    """Starts the network anew: He normal by fan-out, PyTorch's own for the classifier, BatchNorm as it begins."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, (nn.Linear, nn.BatchNorm2d)):
            module.reset_parameters()
