"""Balance classes of unequal size by weights, by sampling, in the loss, or in the scores."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgecnn.errors import ModelError
from edgecnn.model.embedding import last_layer
from edgecnn.train.options import TrainOptions

__all__ = [
    "adjust_scores",
    "class_weights",
    "implied_prior",
    "last_dense",
    "sampling_order",
    "score_loss",
    "training_loss",
    "validation_weights",
]


def sampling_order(classes: np.ndarray, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Make endless indices, shuffled again in each round."""

    def shuffled(indices: np.ndarray, seed: int) -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices(indices)
        return data.shuffle(len(indices), seed=seed).repeat()

    if options.imbalance != "balanced_sampling":
        return shuffled(np.arange(len(classes)), options.seed)
    members = [np.flatnonzero(classes == k) for k in range(num_classes)]
    return tf.data.Dataset.sample_from_datasets(
        [shuffled(m, options.seed + k) for k, m in enumerate(members) if len(m)],
        seed=options.seed,
    )


def class_weights(
    classes: np.ndarray, num_classes: int, options: TrainOptions
) -> dict[int, float] | None:
    """The weight of an image of each class in the loss; 1 on average over the images.

    class_weights      1 / count: every class has the same weight
    effective_number   (1 - beta) / (1 - beta^count), Cui et al. 2019, arXiv:1901.05555, equation 4

    Returns:
        By class, 0 for a class without images; None when all images have the same weight.
    """
    counts = np.bincount(classes, minlength=num_classes)
    if options.imbalance == "class_weights":
        worth = counts.astype(float)
    elif options.imbalance == "effective_number":
        beta = options.imbalance_beta
        worth = (1 - beta**counts) / (1 - beta)
    else:
        return None
    weights = np.where(counts > 0, 1 / np.maximum(worth, 1e-12), 0.0)
    weights *= counts.sum() / (weights * counts).sum()
    return {k: float(weight) for k, weight in enumerate(weights)}


def validation_weights(
    train: np.ndarray, val: np.ndarray, num_classes: int, options: TrainOptions
) -> np.ndarray | None:
    """The weight of a validation image of each class, so that its loss is the one that training
    lowers; without them the epoch that names the commonest class only would seem the best.

    Args:
        train, val: The classes of the images.

    Returns:
        float32, shape (num_classes,), 1 on average over the images; None when all are 1.
    """
    if options.imbalance not in ("class_weights", "effective_number", "balanced_sampling"):
        return None  # the loss itself has what balances, or training is plain
    counts = np.bincount(val, minlength=num_classes)
    weights = implied_prior(train, num_classes, options) / np.maximum(1, counts)
    whole = weights @ counts
    return np.asarray(weights * counts.sum() / whole, np.float32) if whole else None


def training_loss(classes: np.ndarray, num_classes: int, options: TrainOptions) -> keras.Loss:
    """The loss of training and validation: cross entropy, or `BalancedSoftmax`."""
    if options.imbalance != "balanced_softmax":
        return keras.losses.CategoricalCrossentropy(label_smoothing=options.label_smoothing)
    shift = options.imbalance_tau * np.log(_shares(classes, num_classes))
    return BalancedSoftmax(tuple(map(float, shift)), options.label_smoothing)


def score_loss(classes: np.ndarray, num_classes: int, options: TrainOptions) -> keras.Loss:
    """`training_loss` for scores whose layer Keras does not find.

    From them alone it clips at 1e-7, where a sure mistake would get no gradient.
    """
    if options.imbalance == "balanced_softmax":
        return training_loss(classes, num_classes, options)
    return BalancedSoftmax((0.0,) * num_classes, options.label_smoothing)


class BalancedSoftmax(keras.losses.Loss):  # type: ignore[misc]
    """Cross entropy of softmax(logits + shift), which trains a model fair to every class.

    The model without the shift answers as if all classes were equally frequent.

    Args:
        shift: For each class tau * log(its share of the training images).

    Source: Ren et al. 2020, arXiv:2007.10740, equation 3 (tau = 1); Menon et al. 2021,
    arXiv:2007.07314, equation 10 (any tau).
    """

    def __init__(self, shift: tuple[float, ...], label_smoothing: float = 0.0) -> None:
        super().__init__(name="balanced_softmax")
        self.shift, self.label_smoothing = shift, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each image, shape (n,)."""
        # Keras clips scores at 1e-7, where a rare class would get no gradient.
        logits = keras.ops.log(keras.ops.maximum(y_pred, 1e-30)) + np.array(self.shift, np.float32)
        return keras.losses.categorical_crossentropy(
            y_true, logits, from_logits=True, label_smoothing=self.label_smoothing
        )


def adjust_scores(model: keras.Model, classes: np.ndarray, options: TrainOptions) -> None:
    """For logit_adjustment, subtract tau * log(class share) from the trained classifier's bias.

    Source: Menon et al. 2021, arXiv:2007.07314, equation 9.
    """
    if options.imbalance != "logit_adjustment":
        return
    dense = last_dense(model)
    shift = options.imbalance_tau * np.log(_shares(classes, int(model.output_shape[-1])))
    dense.bias.assign(dense.bias - shift.astype(np.float32))


def implied_prior(classes: np.ndarray, num_classes: int, options: TrainOptions) -> np.ndarray:
    """The class shares for which the model's scores are probabilities.

    Plain training gives the shares of the training images; balanced training gives equal ones.

    Returns:
        float64, shape (num_classes,), sums to 1.
    """
    shares = np.bincount(classes, minlength=num_classes) / len(classes)
    weights = class_weights(classes, num_classes, options)
    if weights is not None:
        shares = shares * np.array(list(weights.values()))
    elif options.imbalance == "balanced_sampling":
        shares = (shares > 0).astype(float)
    elif options.imbalance in ("balanced_softmax", "logit_adjustment"):
        shares = np.where(shares > 0, shares, np.nan) ** (1 - options.imbalance_tau)
        shares = np.nan_to_num(shares)
    return np.asarray(shares / shares.sum())


def _shares(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Class shares; a class without images counts as one image, so that a logarithm exists."""
    counts = np.maximum(1, np.bincount(classes, minlength=num_classes))
    return np.asarray(counts / counts.sum())


def last_dense(model: keras.Model) -> keras.layers.Dense:
    """Find the Dense layer that makes the scores, with its own softmax or one after it.

    Raises:
        ModelError: There is none with a bias, so `adjust_scores` can't work.
    """
    layer, fits = last_layer(model)
    if not fits:
        raise ModelError(
            "imbalance 'logit_adjustment' changes the bias of a last Dense layer with softmax, "
            f"but the network ends in {type(layer).__name__} {layer.name!r} without one; use "
            "balanced_softmax, which works with every network"
        )
    return layer
