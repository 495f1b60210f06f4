"""The peers' input: images transformed one by one by the host's processes, or the whole set on the device."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from softaug_jax.checks import UsageError
from softaug_jax.data.info import DatasetInfo
from softaug_jax.data.sources import Arrays


class Batch(NamedTuple):
    """Images [B, C, H, W], normalised, channels last in memory; labels [B]; visibility [B]."""

    images: torch.Tensor
    labels: torch.Tensor
    visibility: torch.Tensor


def soft_offsets(count: int, size: tuple[int, int], sigma: float, device: Any = "cpu") -> torch.Tensor:
    """Offsets [count, 2], whole pixels: normal, redrawn beyond the longer edge, rounded toward zero."""
    longer = max(size)
    offsets = torch.randn(count, 2, device=device)
    beyond = offsets.abs() >= 1 / sigma
    while beyond.any():
        offsets = torch.where(beyond, torch.randn(count, 2, device=device), offsets)
        beyond = offsets.abs() >= 1 / sigma
    return (offsets * (sigma * longer)).trunc().long()


def soft_offset(size: tuple[int, int], sigma: float) -> tuple[int, int]:
    """One of `soft_offsets`, drawn by Python: on two numbers torch's operations take longer than the crop itself."""
    longer = max(size)

    def one() -> int:
        while abs(offset := random.gauss(0.0, sigma * longer)) >= longer:
            pass
        return int(offset)

    return one(), one()


def visibility_of(offsets: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Share of the image that each of the offsets [..., 2] leaves, [...]."""
    height, width = size
    rows, columns = ((side - offsets[..., axis].abs()).clamp(min=0) for axis, side in enumerate((height, width)))
    return rows * columns / float(height * width)


class PerImage(torch.utils.data.Dataset):
    """The usual transforms of torchvision, an image at a time, and the soft crop after them."""

    def __init__(self, arrays: Arrays, about: DatasetInfo, *, flip: bool, sigma: float):
        try:
            from torchvision import transforms
        except ImportError:
            raise UsageError("--loader=dataloader needs torchvision. Install it, or use --loader=gpu.") from None
        self.images, self.labels, self.size, self.sigma = arrays.images, arrays.labels, about.image_size, sigma
        usual = [transforms.ToTensor(), transforms.Normalize(about.mean, about.std)]
        self.transform = transforms.Compose([transforms.RandomHorizontalFlip()] * flip + usual)
        self.crops = torch.ones((), dtype=torch.bool).share_memory_()  # workers live on from epoch to epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, float]:
        from PIL import Image

        image = self.images[index]
        pixels = self.transform(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))
        if not self.crops:
            return pixels, int(self.labels[index]), 1.0
        (ty, tx), (height, width) = soft_offset(self.size, self.sigma), self.size
        visibility = max(0, height - abs(ty)) * max(0, width - abs(tx)) / (height * width)
        return shift(pixels, ty, tx), int(self.labels[index]), visibility


def shift(pixels: torch.Tensor, ty: int, tx: int) -> torch.Tensor:
    """out[:, y, x] = pixels[:, y + ty, x + tx], and 0 outside the image [C, H, W]."""
    _, height, width = pixels.shape
    out = torch.zeros_like(pixels)
    inside = pixels[:, max(ty, 0) : height + min(ty, 0), max(tx, 0) : width + min(tx, 0)]
    out[:, max(-ty, 0) : height - max(ty, 0), max(-tx, 0) : width - max(tx, 0)] = inside
    return out


class HostLoader:
    """A DataLoader with a process a core, and copies to the device that do not wait."""

    def __init__(self, dataset: PerImage, batch_size: int, device: torch.device, workers: int | None):
        workers = os.cpu_count() if workers is None else workers
        on_device = device.type == "cuda"
        extra = dict(persistent_workers=True, prefetch_factor=4) if workers else {}
        self._dataset, self._device = dataset, device
        self._loader = torch.utils.data.DataLoader(
            dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers or 0, pin_memory=on_device, **extra
        )

    def epoch(self, crops: bool) -> Iterator[Batch]:
        """The batches of one epoch, the last incomplete one dropped."""
        self._dataset.crops.fill_(crops)
        for images, labels, visibility in self._loader:
            yield Batch(
                images.to(self._device, non_blocking=True, memory_format=torch.channels_last),
                labels.to(self._device, non_blocking=True),
                visibility.to(self._device, torch.float32, non_blocking=True),
            )


class DeviceLoader:
    """The whole set on the device: an epoch is ordered, flipped and cropped at once, and then cut into batches."""

    def __init__(
        self,
        arrays: Arrays,
        about: DatasetInfo,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        flip: bool,
        sigma: float,
    ):
        self._images = normalised(arrays.images, about, device).to(dtype)
        self._labels = torch.from_numpy(arrays.labels.astype(np.int64)).to(device)
        self._size, self._batch_size, self._flip, self._sigma = about.image_size, batch_size, flip, sigma

    def epoch(self, crops: bool) -> Iterator[Batch]:
        """The batches of one epoch, the last incomplete one dropped."""
        device, (height, width) = self._images.device, self._size
        order = torch.randperm(len(self._labels), device=device)
        count = len(order)
        offsets = soft_offsets(count, self._size, self._sigma, device) * int(crops)
        rows = offsets[:, :1] + torch.arange(height, device=device)
        columns = offsets[:, 1:] + torch.arange(width, device=device)
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        if self._flip:
            flipped = torch.rand(count, 1, device=device) < 0.5
            columns = torch.where(flipped, width - 1 - columns, columns)
        images = self._images[order[:, None, None], rows[:, :, None], columns[:, None, :]] * inside[..., None]
        images, labels = images.permute(0, 3, 1, 2), self._labels[order]
        visibility = visibility_of(offsets, self._size).float()
        for start in range(0, count - self._batch_size + 1, self._batch_size):
            part = slice(start, start + self._batch_size)
            yield Batch(images[part], labels[part], visibility[part])


def normalised(images: np.ndarray, about: DatasetInfo, device: Any) -> torch.Tensor:
    """Images uint8 [n, H, W, C] as float32 on the device, zero mean and unit variance a channel."""
    mean, std = (torch.tensor(values, device=device) for values in (about.mean, about.std))
    return (torch.from_numpy(images).to(device).float() / 255 - mean) / std
