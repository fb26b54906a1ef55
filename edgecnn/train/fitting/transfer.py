"""Fine-tune a pretrained network on few images: first the new classifier, then all layers."""

from __future__ import annotations

from dataclasses import replace

import keras

from edgecnn.model.networks.backbones import HEAD
from edgecnn.records import Progress
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.fit_network import Fit, fit_network
from edgecnn.train.options import TrainOptions

__all__ = ["fine_tune"]

# The classifier's share of the epochs and of the time budget.
_HEAD_SHARE = 0.2
# A learning rate for a new classifier would destroy the trained features.
_RATE = 0.05


def fine_tune(
    model: keras.Model,
    train: Examples,
    val: Examples,
    options: TrainOptions,
    progress: Progress | None = None,
) -> Fit:
    """Train a network of `build_backbone` in place; it ends with the weights of its best epoch.

    1. Train the classifier alone at `learning_rate` for a fifth of the epochs (for all epochs
       without `options.fine_tune`): a random classifier's gradients would damage the features.
    2. Train all layers at a twentieth of that rate. Batch norm keeps its ImageNet statistics:
       those of a small batch of a small set are worse.

    The weights are those of the best epoch of both parts.

    Raises:
        ModelError: The loss became NaN.
    """
    epochs = options.epochs
    if options.fine_tune:
        epochs = max(1, round(epochs * _HEAD_SHARE))
    share = epochs / options.epochs
    _freeze(model, features=True)
    first = fit_network(model, train, val, _part(options, epochs, share), progress)
    if epochs < options.epochs:
        best = model.get_weights()
        _freeze(model, features=False)
        rest = _part(options, options.epochs - epochs, 1 - share)
        rest = replace(rest, learning_rate=max(1e-6, options.learning_rate * _RATE))
        second = fit_network(model, train, val, rest, progress)
        if _best_loss(first) <= _best_loss(second):
            model.set_weights(best)
        first = _joined(first, second)
    for layer in model.layers:
        layer.trainable = True
    return first


def _part(options: TrainOptions, epochs: int, share: float) -> TrainOptions:
    seconds = None if options.seconds is None else max(1.0, options.seconds * share)
    return replace(options, epochs=epochs, seconds=seconds)


def _freeze(model: keras.Model, *, features: bool) -> None:
    """Freeze all layers but the classifier, or only batch norm."""
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name == HEAD or not (features or norm)


def _best_loss(fit: Fit) -> float:
    return fit.history["val_loss"][fit.best_epoch - 1]


def _joined(first: Fit, second: Fit) -> Fit:
    """Join both parts into one run; the best epoch is that of the better part."""
    history = {k: first.history[k] + second.history[k] for k in first.history}
    so_far = first.history["seconds"][-1]
    history["seconds"] = first.history["seconds"] + [
        round(so_far + s, 2) for s in second.history["seconds"]
    ]
    better = _best_loss(second) < _best_loss(first)
    best_epoch = first.epochs + second.best_epoch if better else first.best_epoch
    return Fit(history, best_epoch, second.stopped_by)
