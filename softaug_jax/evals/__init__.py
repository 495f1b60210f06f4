"""Evaluators: each is given a predict function and batches, and yields names and numbers."""

from softaug_jax.evals.calibration import Calibration
from softaug_jax.evals.classification import Classification
from softaug_jax.evals.density import Density
from softaug_jax.evals.energy import Energy
from softaug_jax.evals.knn import NearestNeighbors
from softaug_jax.evals.occlusion import NOISE, SHARES, Occluded, Occlusion, occlude, square_corners, square_side
from softaug_jax.evals.predictions import Predictions, collect
from softaug_jax.evals.probe import LinearProbe
from softaug_jax.evals.protocol import Batch, Batches, Evaluator, Predict
from softaug_jax.evals.version_2 import Version2

__all__ = [
    "NOISE",
    "SHARES",
    "Batch",
    "Batches",
    "Calibration",
    "Classification",
    "Density",
    "Energy",
    "Evaluator",
    "LinearProbe",
    "NearestNeighbors",
    "Occluded",
    "Occlusion",
    "Predict",
    "Predictions",
    "Version2",
    "collect",
    "occlude",
    "square_corners",
    "square_side",
]
