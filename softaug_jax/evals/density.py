"""Feature density (DDU: Mukhoti et al., arXiv:2102.11582): how near an image's features are to the training set's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from softaug_jax.checks import UsageError
from softaug_jax.evals.features import extract
from softaug_jax.evals.protocol import Batches, Predict
from softaug_jax.evals.ranking import separations

# Added to the diagonal of all covariances, the first by which all are positive definite, times their mean variance.
JITTERS = (0.0, *(10.0**power for power in range(-16, 1)))


class Mixture(NamedTuple):
    """A Gaussian for each class that the training set has; float64."""

    means: np.ndarray  # [K, F]
    whitenings: np.ndarray  # [K, F, F], inverses of the covariances' Cholesky factors
    log_scales: np.ndarray  # [K], log of share / determinant of the factor / (2 pi)^(F / 2)


class Density:
    """Whether high density of the features means right, and means a whole image; nothing is trained but the Gaussians.

    In float64 on the host: covariances of features are near singular. Memory: K * F^2, 0.3 GB for WRN-28-10 on 100
    classes; time about 2 * F^2 operations an image and class.
    """

    def __init__(
        self, predict: Predict, features: Predict, batches: Batches, hidden: Batches, train_batches: Batches
    ) -> None:
        """Args beside those that `protocol` describes:

        features: from images to features [B, F].
        hidden: the same images as `batches`, occluded.
        train_batches: what the Gaussians are fitted to, not augmented.
        """
        self.predict, self.features = predict, features
        self.batches, self.hidden, self.train_batches = batches, hidden, train_batches

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields "density/auroc_right" and "density/auroc_whole", of the log density."""
        mixture = fit(*map(np.asarray, extract(self.features, state, self.train_batches)))
        whole, labels = map(np.asarray, extract(self.features, state, self.batches))
        hidden, _ = map(np.asarray, extract(self.features, state, self.hidden))
        guesses = np.asarray(extract(self.predict, state, self.batches).values).argmax(-1)
        yield from separations("density", log_density(mixture, whole), guesses == labels, log_density(mixture, hidden))


def fit(values: np.ndarray, labels: np.ndarray) -> Mixture:
    """Gaussian discriminant analysis: each class's mean, unbiased covariance and share of the examples.

    Args:
      values: features [n, F].
      labels: classes, int [n].

    Raises:
      UsageError: if a class has a single example.
      ValueError: if the features are not finite.
    """
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("The features are not finite, so that no density can be fitted to them.")
    members = [values[labels == label] for label in np.unique(labels)]
    if min(map(len, members)) < 2:
        raise UsageError("A class has a single training example: its features have no covariance.")
    means = np.stack([x.mean(0) for x in members])
    covariances = np.stack([(x - mean).T @ (x - mean) / (len(x) - 1) for x, mean in zip(members, means, strict=True)])
    factors = _factors(covariances)
    log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(-1)
    shares = np.array([len(x) for x in members]) / len(values)
    log_scales = np.log(shares) - log_determinants - values.shape[1] / 2 * np.log(2 * np.pi)
    return Mixture(means, np.linalg.inv(factors), log_scales)


def log_density(mixture: Mixture, values: np.ndarray) -> np.ndarray:
    """Log of the mixture's density at features [n, F]: [n]."""
    values = values.astype(np.float64)
    parts = [
        log_scale - 0.5 * np.square((values - mean) @ whitening.T).sum(-1)
        for mean, whitening, log_scale in zip(*mixture, strict=True)
    ]
    return logsumexp(parts, axis=0)


def _factors(covariances: np.ndarray) -> np.ndarray:
    """Cholesky factors of covariances [K, F, F], of all with the same jitter, as small as will do."""
    level = max(np.diagonal(covariances, axis1=1, axis2=2).mean(), np.finfo(np.float64).tiny)
    identity = np.eye(covariances.shape[-1])
    for jitter in JITTERS:
        try:
            return np.linalg.cholesky(covariances + jitter * level * identity)
        except np.linalg.LinAlgError:
            continue
    raise ValueError("The features' covariances are singular, whatever is added to their diagonals.")
