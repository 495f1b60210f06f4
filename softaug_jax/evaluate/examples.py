"""A few test images at each level of occlusion, with what networks say of them (arXiv:2211.04625, Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from softaug_jax.data.info import DatasetInfo
from softaug_jax.evals import Batch, Occlusion
from softaug_jax.evaluate.networks import Restored
from softaug_jax.report.occluded_examples import Verdict, occluded_examples

SHOWN_NETWORKS = 2  # lines of text that fit below an image


class Examples:
    """Images of the first test batch, one a class as far as there are so many classes, and the networks' verdicts."""

    def __init__(self, batch: Batch, number: int, shares: Sequence[float], about: DatasetInfo):
        """Takes up to `number` images of `batch`, of a data set with the facts `about`."""
        self._batch, self._shares, self._names = batch, tuple(shares), about.class_names
        self._labels = np.asarray(batch["label"])
        self._chosen = one_a_class(self._labels, np.asarray(batch["mask"]), number)
        self._images: list[np.ndarray] = []
        self._verdicts: dict[str, list[list[Verdict]]] = {}

    def ask(self, label: str, network: Restored, occlusion: Occlusion) -> None:
        """Asks a network, unless enough have been asked; `occlusion` covers the images, for all alike."""
        if len(self._verdicts) == SHOWN_NETWORKS or not len(self._chosen):
            return
        covered = [occlusion.occluded(self._batch, share) for share in self._shares]
        self._images = [np.asarray(images)[self._chosen] for images in covered]
        self._verdicts[label] = [self._judged(network.predict(network.state, images)) for images in covered]

    def draw(self, path: Path) -> None:
        """Draws them, if a network was asked."""
        if self._verdicts:
            names = [self._names[label] for label in self._labels[self._chosen]]
            by_image = {label: list(zip(*columns, strict=True)) for label, columns in self._verdicts.items()}
            occluded_examples(path, np.stack(self._images, axis=1), names, self._shares, by_image)

    def _judged(self, logits: jax.Array) -> list[Verdict]:
        rows = np.asarray(jax.nn.softmax(logits))[self._chosen]
        return [
            Verdict(self._names[row.argmax()], float(row.max()), bool(row.argmax() == label))
            for row, label in zip(rows, self._labels[self._chosen], strict=True)
        ]


def one_a_class(labels: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    """The places of up to `number` examples: the first of each class, in the set's order, and then the others.

    >>> one_a_class(np.array([3, 3, 1, 3]), np.array([True, True, True, False]), 3).tolist()
    [0, 2, 1]
    """
    real = np.flatnonzero(mask)
    first_of_class = real[np.sort(np.unique(labels[real], return_index=True)[1])]
    return np.concatenate([first_of_class, np.setdiff1d(real, first_of_class)])[:number]
