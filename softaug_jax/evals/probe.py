"""The linear probe: a linear classifier on frozen features, the usual measure of self-supervised networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import jax
import jax.numpy as jnp

from softaug_jax.checks import check_count, check_scalar
from softaug_jax.evals import linear
from softaug_jax.evals.calibration import Calibration
from softaug_jax.evals.classification import Classification
from softaug_jax.evals.features import Features, extract
from softaug_jax.evals.protocol import Batch, Batches, Predict
from softaug_jax.evals.sums import classification_sums

# (key, images uint8 [B, H, W, C]) -> images float [B, H, W, C], both from 0 to 255.
Augment = Callable[[jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True)
class LinearProbe:
    """Trains a linear classifier on the features of a training set and measures it on another set.

    Softmax regression by SGD with Nesterov momentum 0.9 and a cosine to 0. Features are first standardised by the mean
    and standard deviation of the training images' (an affine map, so the classifier stays linear in them), which
    `linear` describes. All is a function of the seed and the state: two runs give the same numbers, and the batches
    given are only for reading (with `augment`, also for its draws).

    Args beside those that `protocol` describes:
      predict: here from images to features [B, F], not to logits.
      batches: the set to measure on.
      train_batches: the set to train on.
      num_classes: N.
      epochs: over the training set.
      batch_size: examples a step. What is left of an epoch after whole batches waits for the next order. A set of
        fewer examples is one batch.
      learning_rate: the first one. 3 suits features of any kind and width, as `linear.standardization` scales them:
        on pixels, random projections and an untrained network's features, of 64 to 1024 dimensions, its test error
        was within 0.7 points of the best rate's from 0.1 to 30.
      weight_decay: times weights and bias, added to the gradient.
      seed: of the order of examples, and of `augment`.
      num_bins: of the calibration error.
      augment: None, which takes each image's features once; or what changes the images of each epoch, whose
        features are then taken anew. It is jitted here.
    """

    predict: Predict
    batches: Batches
    train_batches: Batches
    _: KW_ONLY
    num_classes: int
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 3.0
    weight_decay: float = 0.0
    seed: int = 0
    num_bins: int = 10
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "epochs", "batch_size", "num_bins"):
            check_count(name, getattr(self, name), at_least=1)
        check_scalar("learning_rate", self.learning_rate, above=0)
        check_scalar("weight_decay", self.weight_decay, at_least=0)

    def run(self, state: Any) -> Iterator[tuple[str, float | list[float]]]:
        """Yields what `Classification` and `Calibration` yield, and "probe/train_top1_error".

        The last is measured on the training images as they are, not augmented.
        """
        train = extract(self.predict, state, self.train_batches)
        scale = linear.standardization(train.values)
        classifier = self._train(state, train, scale)
        test = extract(self.predict, state, self.batches)
        # To the evaluators of logits, the logits are the images of a model that returns what it is shown.
        scored = {
            "image": linear.logits(classifier, scale, test.values),
            "label": test.labels,
            "mask": jnp.ones_like(test.labels, bool),
        }
        shown = lambda _, logits: logits
        yield from Classification(shown, [scored]).run(state)
        yield from Calibration(shown, [scored], self.num_bins).run(state)
        sums = classification_sums(linear.logits(classifier, scale, train.values), train.labels)
        yield "probe/train_top1_error", float(sums.wrong) / len(train.labels)

    def _train(self, state: Any, train: Features, scale: linear.Scale) -> linear.Classifier:
        num_examples, num_features = train.values.shape
        batch_size = min(self.batch_size, num_examples)
        total_steps = self.epochs * (num_examples // batch_size)
        optimizer = linear.Optimizer(self.learning_rate, self.weight_decay, total_steps)
        fit = linear.start(num_features, self.num_classes, optimizer)
        order_key, augment_key = jax.random.split(jax.random.key(self.seed))
        for epoch in range(self.epochs):
            if self.augment is not None:
                key = jax.random.fold_in(augment_key, epoch)
                train = extract(self.predict, state, _augmented(self.augment, key, self.train_batches))
            key = jax.random.fold_in(order_key, epoch)
            fit = linear.train_epoch(fit, train, scale, key, batch_size=batch_size, optimizer=optimizer)
        return fit.classifier


def _augmented(augment: Augment, key: jax.Array, batches: Batches) -> Iterator[Batch]:
    """The batches with other images, spread over the devices as theirs were."""
    for number, batch in enumerate(batches):
        spread = jax.jit(augment, out_shardings=batch["image"].sharding)
        yield {**batch, "image": spread(jax.random.fold_in(key, number), batch["image"])}
