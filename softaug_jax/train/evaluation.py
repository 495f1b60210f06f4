"""Builds the evaluators that a config names and runs them on a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jax

from softaug_jax.augment import Normalize
from softaug_jax.data import sources
from softaug_jax.data.eval_batches import EvalBatches
from softaug_jax.data.image_batches import EvalImages
from softaug_jax.data.image_set import ImageSet, open_set
from softaug_jax.data.info import DatasetInfo, info
from softaug_jax.data.sources import Arrays
from softaug_jax.evals import Batches, Evaluator
from softaug_jax.tasks.protocol import Tested
from softaug_jax.train.setup import Parts, StatePredict
from softaug_jax.train.sharding import Shardings
from softaug_jax.train.state import TrainState

Images = Arrays | ImageSet


class Evaluation:
    """The test set and what is measured on it."""

    def __init__(self, config: Any, parts: Parts, test: Images, load_train: Callable[[], Images], shardings: Shardings):
        """`load_train` is called only if an evaluator needs the training images."""
        predict, features = (
            jit_predict(function, parts.info, shardings) for function in (parts.predict, parts.features)
        )
        test_batches = eval_batches(config, shardings, "test", test)
        train = cache(lambda: eval_batches(config, shardings, "train", load_train()))
        self._evaluators = parts.task.evaluators
        version_2 = _version_2(config, shardings)
        self._tested = Tested(config, parts.info, predict, features, test_batches, train, version_2)
        self._built: dict[str, Evaluator] = {}

    def run(self, names: Iterable[str], state: TrainState) -> dict[str, Any]:
        """All figures of the named evaluators, by their names."""
        figures: dict[str, Any] = {}
        for name in names:
            if name not in self._built:
                self._built[name] = self._evaluators[name](self._tested)
            figures.update(self._built[name].run(state))
        return figures


def load(config: Any, split: str) -> Images:
    """One split of the config's data set, in memory; of ImageNet, as files.

    Training images are those that the config trains on: all, or so many of each class.
    """
    data, about = config.data, info(config.dataset)
    if about.encoded:
        return open_set(config.dataset, split, data.dir, about.num_classes, download=data.download)
    arrays = sources.load(config.dataset, split, data.dir, download=data.download)
    if split == "train" and data.images_per_class:
        return sources.first_of_each_class(arrays, about, data.images_per_class)
    return arrays


def eval_batches(
    config: Any, shardings: Shardings, split: str = "test", images: Images | None = None
) -> EvalBatches | EvalImages:
    """A split as evaluators see it, in batches of `config.eval_batch_size` or the next number that the devices divide.

    The one place that decides how: `images` are given where the split is loaded already.
    """
    devices = shardings.mesh.size
    batch_size = -(-config.eval_batch_size // devices) * devices
    images = load(config, split) if images is None else images
    if isinstance(images, Arrays):
        return EvalBatches(images, batch_size, shardings.batch)
    data = config.data
    return EvalImages(
        images,
        batch_size,
        shardings.batch,
        data.size_px,
        data.resize_px,
        num_threads=data.threads or None,
        skip_unreadable=data.skip_unreadable,
    )


def _version_2(config: Any, shardings: Shardings) -> Batches | None:
    """ImageNet-V2, if the config says where it is; opened at once, so that a wrong folder is an error at once."""
    if "v2_dir" not in config.data or not config.data.v2_dir:
        return None
    classes, data = info(config.dataset).num_classes, config.data
    images = open_set("imagenet_v2", "test", data.v2_dir, classes, download=data.download)
    return eval_batches(config, shardings, images=images)


def jit_predict(function: StatePredict, about: DatasetInfo, shardings: Shardings) -> StatePredict:
    """The function of a state and images [B, H, W, C], of images in 0 to 255 instead, batch split over the devices."""
    normalize = Normalize(about.mean, about.std)

    def predict(state: TrainState, images: jax.Array) -> jax.Array:
        images, _ = normalize.apply(images)
        return function(state, images)

    return jax.jit(predict, in_shardings=(shardings.replicated, shardings.batch), out_shardings=shardings.batch)
