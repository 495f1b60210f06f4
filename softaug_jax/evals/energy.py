"""The energy score (Liu et al., arXiv:2010.03759): how sure logits are before softmax takes their level away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from softaug_jax.evals.features import extract
from softaug_jax.evals.protocol import Batches, Predict
from softaug_jax.evals.ranking import separations


class Energy:
    r"""Whether low energy means right, and means a whole image.

    .. math:: E = -T \log \sum_c \exp(z_c / T)

    (Eq. 4, T = 1 as there.) The network is one that is trained as ever; its rows' errors and ECE are its softmax's.
    """

    def __init__(self, predict: Predict, batches: Batches, hidden: Batches) -> None:
        """`hidden` are the same images, occluded."""
        self.predict, self.batches, self.hidden = predict, batches, hidden

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "energy/auroc_right" and "energy/auroc_whole", of minus the energy."""
        whole, labels = extract(self.predict, state, self.batches)
        hidden, _ = extract(self.predict, state, self.hidden)
        right = np.asarray(whole).argmax(-1) == np.asarray(labels)
        yield from separations("energy", _negative_energy(whole), right, _negative_energy(hidden))


def _negative_energy(logits: jax.Array) -> np.ndarray:
    return np.asarray(jax.nn.logsumexp(logits, -1))
