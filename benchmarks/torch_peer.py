"""The same recipe in PyTorch, to compare with: images per second by the same definition, or the loss curve.

  python -m benchmarks.torch_peer --loader=dataloader --config=configs/cifar10_sa.py [--json=FILE]
  python -m benchmarks.torch_peer --loader=gpu --curve --seeds=0,1,2 --config=configs/cifar10_sa.py:epochs=5

dataloader  a DataLoader with a process a core over torchvision's transforms of PIL images, one by one: the usual way.
gpu         the whole set on the device, each epoch flipped and cropped there at once (with --device=cpu, on the CPU).
Both: channels last, bfloat16 autocast and torch.compile on a GPU, fused SGD, metrics summed on the device. The config
is the one that main.py would train; what the peer has not, it refuses. It drops an epoch's last incomplete batch.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, rounds
from softaug_jax.checks import UsageError
from softaug_jax.cli import config_of
from softaug_jax.commands import Parser, as_command, positive, several
from softaug_jax.data import sources
from softaug_jax.data.info import info
from softaug_jax.run_files import flatten, write_json

# What the peer's recipe is; of other values of these fields it has nothing.
REQUIRED: dict[str, Any] = {
    "augment.policy": "none",
    "augment.crop": "soft",
    "augment.rounding": "truncate",
    "augment.fill": "mean",
    "augment.erase": "none",
    "augment.mix": "none",
    "soften.mode": "target_and_weight",
    "loss.weighting": "per_example",
    "loss.normalize_weights": False,
    "loss.focal_gamma": 0.0,
    "loss.online_smoothing": 0.0,
}


def check(config: Any) -> None:
    """Raises UsageError at the first field that the peer can't follow."""
    fields = flatten(config.to_dict())
    for name, needed in REQUIRED.items():
        if fields.get(name) != needed:
            raise UsageError(f"config.{name} = {fields.get(name)!r}: the PyTorch peer has only {needed!r}.")


def objective_of(model: Any, soften: Any, num_classes: int, autocast: Callable[[], Any]) -> Callable[..., Any]:
    """From images, labels and visibility to the batch's loss and its sums of loss, errors, weights and visibility."""
    import torch

    k, p_max, p_min = soften.k, soften.p_max, 1 / num_classes if soften.p_min is None else soften.p_min

    def objective(images: Any, labels: Any, visibility: Any) -> Any:
        with autocast():
            logits = model(images)
        confidence = p_max - (p_max - p_min) * (1 - visibility) ** k
        log_p = torch.log_softmax(logits.float(), -1)
        true = log_p.gather(1, labels[:, None])[:, 0]
        other = (log_p.sum(-1) - true) / (num_classes - 1)
        loss = -(confidence * (confidence * true + (1 - confidence) * other)).mean()
        wrong = (logits.argmax(-1) != labels).float()
        sums = torch.stack([loss.detach() * len(labels), wrong.sum(), confidence.sum(), visibility.sum()])
        return loss, sums

    return objective


class Peer:
    """A run under way in PyTorch."""

    def __init__(self, config: Any, options: argparse.Namespace):
        import torch

        from benchmarks import torch_data, torch_model

        check(config)
        self.config, self.about, self.torch = config, info(config.dataset), torch
        self.device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_gpu = self.device.type == "cuda"
        auto = "bfloat16" if on_gpu else "float32"
        self.dtype = getattr(torch, auto if config.model.dtype == "auto" else config.model.dtype)
        self.autocast = lambda: torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        train = sources.load(config.dataset, "train", config.data.dir)
        a, about = config.augment, self.about
        drawn = dict(flip=a.flip, sigma=a.sigma)
        if options.loader == "gpu":
            loader: Any = torch_data.DeviceLoader(train, about, config.batch_size, self.device, self.dtype, **drawn)
        else:
            dataset = torch_data.PerImage(train, about, **drawn)
            loader = torch_data.HostLoader(dataset, config.batch_size, self.device, options.workers)
        self.loader = loader
        self.steps_per_epoch = len(train.labels) // config.batch_size
        self.total_steps = self.steps_per_epoch * config.epochs
        model = torch_model.create(config.model.name, channels=about.channels, num_classes=about.num_classes)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        compiled = options.compile == "on" or (options.compile == "auto" and on_gpu)
        mode = None if options.compile_mode == "default" else options.compile_mode
        if mode and not compiled:
            raise UsageError(
                f"--compile_mode={mode}: nothing is compiled on {self.device.type}, or with --compile=off."
            )
        objective = objective_of(self.model, config.soften, about.num_classes, self.autocast)
        self.objective = torch.compile(objective, mode=mode) if compiled else objective
        self.start(0)

    def start(self, seed: int) -> None:
        """Begins anew: network, optimiser, order and draws from this seed."""
        from benchmarks import torch_model

        torch, settings = self.torch, self.config.optimizer
        torch_model.initialise(self.model, seed)
        random.seed(seed)  # for a DataLoader without workers; in those torch seeds it
        self.model.train()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.step, self.sums, self._batches = 0, torch.zeros(4, device=self.device), self._stream()

    def _stream(self) -> Iterator[Any]:
        epoch, last = 0, self.config.epochs - self.config.augment.uncropped_final_epochs
        while True:
            yield from self.loader.epoch(crops=epoch < last)
            epoch += 1

    def advance(self, steps: int) -> dict[str, float]:
        """Trains so many steps and waits for their end; the means over their examples."""
        self.sums.zero_()
        for _ in range(steps):
            share = min(1.0, self.step / self.total_steps)
            rate = 0.5 * self.config.optimizer.learning_rate * (1 + math.cos(math.pi * share))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss, sums = self.objective(*next(self._batches))
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)  # before the next forward pass: CUDA graphs reuse this memory
            self.sums += sums
            self.step += 1
        self.wait()
        names = ("loss", "top1_error", "weight", "visibility")
        return dict(zip(names, (self.sums / (steps * self.config.batch_size)).tolist(), strict=True))

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def test_error(self) -> float:
        """Top-1 error on the test set."""
        from benchmarks.torch_data import normalised

        torch, test = self.torch, sources.load(self.config.dataset, "test", self.config.data.dir)
        images = normalised(test.images, self.about, self.device).permute(0, 3, 1, 2)
        self.model.eval()
        with torch.no_grad(), self.autocast():
            guesses = torch.cat([self.model(part).argmax(-1) for part in images.split(1000)])
        self.model.train()
        return float((guesses.cpu().numpy() != test.labels).mean())


def curves(peer: Peer, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean training loss of each epoch, and the final test error, of each seed."""
    losses, errors = [], []
    for seed in seeds:
        peer.start(seed)
        losses.append([peer.advance(peer.steps_per_epoch)["loss"] for _ in range(peer.config.epochs)])
        errors.append(peer.test_error())
    return {"train_loss": losses, "test_top1_error": errors}


def speed(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    """Images per second of each round, after an epoch that compiles and warms up."""
    lap_steps = options.steps or peer.steps_per_epoch
    start = time.perf_counter()
    peer.advance(lap_steps)
    first_lap_seconds = time.perf_counter() - start
    if not options.steps:
        start = time.perf_counter()
        peer.advance(lap_steps)
        lap_steps *= max(1, math.ceil(options.seconds / (time.perf_counter() - start)))

    def lap() -> int:
        peer.advance(lap_steps)
        return lap_steps * peer.config.batch_size

    rates = rounds.measure({"peer": lap}, options.rounds)["peer"]
    return {"images_per_second": rounds.spread(rates), "first_lap_seconds": first_lap_seconds}


@as_command
def main(words: list[str]) -> int:
    """Measures, writes the record and prints the figures."""
    parser = Parser(
        prog="python -m benchmarks.torch_peer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--loader", choices=["dataloader", "gpu"], default="dataloader")
    parser.add_argument("--workers", type=int, help="processes of the DataLoader; default: one a core")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default: a GPU if there is one")
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto", help="auto: on a GPU")
    parser.add_argument("--compile_mode", default="default", help="of torch.compile, as reduce-overhead")
    parser.add_argument("--curve", action="store_true", help="train the config's epochs with each seed instead")
    parser.add_argument("--seeds", type=several(int), default=[0])
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a round takes at least")
    parser.add_argument("--steps", type=positive, default=0, help="of a round; default: whole epochs of --seconds")
    parser.add_argument("--json", type=Path, help="where to write the record")
    options, config_words = parser.parse_known_args(words)
    config = config_of(config_words)
    peer = Peer(config, options)
    on_gpu = peer.device.type == "cuda"
    device = peer.torch.cuda.get_device_name() if on_gpu else "cpu"
    record = machine.provenance("benchmarks.torch_peer", words, device)
    record |= curves(peer, options.seeds) if options.curve else speed(peer, options)
    if options.json:
        write_json(options.json, record)
    what = "test_top1_error" if options.curve else "images_per_second"
    print(f"{device}, load {record['load']}: {options.loader} {what} {record[what]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
