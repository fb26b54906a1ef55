"""Train a network to find given features in each image, beside its class.

FitNets (Romero et al. 2015, arXiv:1412.6550), with the features before the classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from edgecnn.model.networks.backbones import features_of

__all__ = ["CROSS_ENTROPY", "Distillation", "distance", "with_features"]

CROSS_ENTROPY = "cross_entropy"
"""The metric that is the loss of the classes alone."""

# With 1 and 10 in its place the field was read as well, within a point.
_WEIGHT = 3.0
_LEAST_SPREAD = 1e-3


def with_features(model: keras.Model) -> keras.Model:
    """A network of `build_backbone` with its features behind the scores: (n, classes + features).

    They share their weights.
    """
    both = keras.layers.Concatenate(name="scores_and_features")
    return keras.Model(model.inputs[0], both([model.outputs[0], features_of(model)]))


class Distillation(keras.losses.Loss):  # type: ignore[misc]
    """The loss of the classes, and the distance of the features from the wanted ones.

    y_pred has the features behind the scores; y_true has the wanted ones behind the one-hot
    classes, or none, as in validation. The distance is the mean square, each feature in units of
    its spread over the training images.

    Args:
        loss: Of the classes, from scores: see `score_loss`.
        wanted: float32, shape (views, n, features), of the training images.
        weights: Of the images of each class, or None.
    """

    def __init__(
        self,
        loss: keras.Loss,
        num_classes: int,
        wanted: np.ndarray,
        weights: Mapping[int, float] | None,
    ) -> None:
        super().__init__(name="distillation")
        self.loss, self.num_classes = loss, num_classes
        each = [weights[k] for k in range(num_classes)] if weights else [1.0] * num_classes
        self.weights = np.array(each, np.float32)[:, None]
        self.spread = _spread(wanted)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each image, shape (n,)."""
        loss = self.of_classes(y_true, y_pred)
        if y_true.shape[-1] == self.num_classes:
            return loss
        apart = (y_pred - y_true)[:, self.num_classes :] / self.spread
        return loss + _WEIGHT * keras.ops.mean(keras.ops.square(apart), axis=-1)

    def of_classes(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each image without its features, shape (n,)."""
        truth = y_true[:, : self.num_classes]
        loss = self.loss.call(truth, y_pred[:, : self.num_classes])
        if y_true.shape[-1] == self.num_classes:  # Keras weighs no validation images
            return loss
        return loss * keras.ops.matmul(truth, self.weights)[:, 0]

    def is_right(self, y_true: Any, y_pred: Any) -> Any:
        """1 for each image with the right class, shape (n,)."""
        kept = slice(None, self.num_classes)
        return keras.metrics.categorical_accuracy(y_true[:, kept], y_pred[:, kept])

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy, and the loss of the classes."""
        mean = keras.metrics.MeanMetricWrapper
        return [mean(self.is_right, "accuracy"), mean(self.of_classes, CROSS_ENTROPY)]


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean square of the distance of features, (n, f), each in units of its spread as wanted."""
    return float((((found - wanted) / _spread(wanted)) ** 2).mean())


def _spread(features: np.ndarray) -> np.ndarray:
    return np.asarray(features.reshape(-1, features.shape[-1]).std(axis=0) + _LEAST_SPREAD)
