"""Images per second of RandAugment and TrivialAugment on one CPU core, beside torchvision's and a branch an operation.

  python -m benchmarks.policies [--dataset=cifar10 --data_dir=DIR] [--rounds=5] [--json=FILE]

All run on the same core, in turn, round after round, and draw anew for each batch of 128.
  ours         one resampling, one blend and one look-up an operation slot for the whole batch, jitted.
  switch       the usual way in JAX: each image's operation chosen by `lax.switch` under `vmap`, jitted. Of a batch that
               computes all 14 operations; the operations' arithmetic is ours.
  torchvision  `transforms.RandAugment` and `TrivialAugmentWide`, image by image, where it is installed. The images are
               Pillow's beforehand and stay so: only the policy is timed.
The ratios are what counts: they are between figures of one run on one core.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import machine
from benchmarks.one_core import BATCH, images_of, measure, run_on_one_core
from benchmarks.rounds import ratios


def ours(policy: Any, images: Any) -> Iterator[Any]:
    """The policy as the training step has it: draws and pixels in one jitted function."""
    return _batches(policy, images, policy.apply)


def switched(policy: Any, images: Any) -> Iterator[Any]:
    """The same draws and operations, each image's chosen by `lax.switch` under `vmap`."""
    import jax
    import jax.numpy as jnp

    from softaug_jax.augment import RandAugment, words
    from softaug_jax.augment.magnitudes import randaugment_space, trivialaugment_space

    size = images.shape[1:3]
    rand = isinstance(policy, RandAugment)
    space = randaugment_space(policy.num_bins, size) if rand else trivialaugment_space(policy.num_bins)
    branches = _branches(space, size, images.shape[-1])

    def one(image: Any, draws: Any) -> Any:
        pixels = words.pack(jnp.moveaxis(image, -1, 0))
        for slot in range(len(draws.operation)):
            setting = (draws.magnitude[slot], draws.negative[slot].astype(jnp.int32))
            pixels = jax.lax.switch(draws.operation[slot], branches, pixels, *setting)
        return jnp.stack(words.unpack(pixels, image.shape[-1]), axis=-1).astype(image.dtype)

    return _batches(policy, images, lambda batch, draws: (jax.vmap(one)(batch, draws), None))


def _branches(space: Any, size: tuple[int, int], channels: int) -> list[Callable[..., Any]]:
    """A function of (words [H, W], bin, sign) for each operation, which does no more than that operation needs."""
    import jax.numpy as jnp

    from softaug_jax.augment import affine, blend, lookup, policy
    from softaug_jax.augment.magnitudes import OPERATIONS

    coefficients, factors = affine.coefficients(space, size), blend.factors(space)
    masks, thresholds = lookup.bit_masks(space), lookup.thresholds(space)

    def branch(number: int) -> Callable[..., Any]:
        name, only = OPERATIONS[number], jnp.full(1, number)
        pick = lambda table, *where: jnp.asarray(table[number])[where][None]

        def identity(pixels: Any, magnitude: Any, sign: Any) -> Any:
            return pixels

        def move(pixels: Any, magnitude: Any, sign: Any) -> Any:
            return policy.move(pixels[None], pick(coefficients, magnitude, sign))[0]

        def enhance(pixels: Any, magnitude: Any, sign: Any) -> Any:
            return policy.enhance(pixels[None], channels, only, pick(factors, magnitude, sign))[0]

        def remap(pixels: Any, magnitude: Any, sign: Any) -> Any:
            settings = pick(masks, magnitude), pick(thresholds, magnitude)
            return policy.remap(pixels[None], channels, only, *settings)[0]

        if name == "Identity":
            return identity
        if name in ("Brightness", "Color", "Contrast", "Sharpness"):
            return enhance
        return remap if name in ("Posterize", "Solarize", "AutoContrast", "Equalize") else move

    return [branch(number) for number in range(len(OPERATIONS))]


def _batches(policy: Any, images: Any, apply: Callable[..., Any]) -> Iterator[Any]:
    """Batch after batch, each with new draws."""
    import jax

    size = images.shape[1:3]

    @jax.jit
    def step(batch: Any, number: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(0), number)
        return apply(batch, policy.sample(key, BATCH, size))[0]

    number = 0
    while True:
        start = number * BATCH % (len(images) - BATCH + 1)
        yield jax.block_until_ready(step(images[start : start + BATCH], number))
        number += 1


def torchvision_batches(name: str, images: Any) -> Iterator[Any]:
    """Torchvision's policy, image by image."""
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(1)
    transform = transforms.RandAugment() if name == "RandAugment" else transforms.TrivialAugmentWide()
    pictures = [Image.fromarray(image) for image in images[: 100 * BATCH]]
    number = 0
    while True:
        start = number * BATCH % (len(pictures) - BATCH + 1)
        yield [transform(picture) for picture in pictures[start : start + BATCH]]
        number += 1


def main(options: argparse.Namespace, core: int) -> dict[str, Any]:
    """Measures, prints the table and returns the record."""
    from softaug_jax.augment import RandAugment, TrivialAugment

    images = images_of(options.dataset, options.data_dir, options.images).images
    pipelines: dict[str, Iterator[Any]] = {}
    for policy in (RandAugment(), TrivialAugment()):
        name = type(policy).__name__
        pipelines |= {f"{name} ours": ours(policy, images), f"{name} switch": switched(policy, images)}
        if machine.installed("torchvision"):
            pipelines[f"{name} torchvision"] = torchvision_batches(name, images)
    rates = measure(pipelines, options.rounds, options.seconds)
    ratio = {
        name: ratios(rates[f"{name.split()[0]} ours"], rates[name])["median"]
        for name in pipelines
        if not name.endswith("ours")
    }
    print(f"one core ({core}), batches of {BATCH}, {options.dataset} images, median of {options.rounds} rounds")
    for name, values in rates.items():
        times = f"ours is {ratio[name]:5.1f} x as fast" if name in ratio else ""
        print(f"  {name:28s} {statistics.median(values):10,.0f} images/s  {times}")
    return {
        "images_per_second": rates,
        "ratio_ours_to": ratio,
    }


if __name__ == "__main__":
    run_on_one_core("benchmarks.policies", __doc__, main)
