"""Choose the network and its images for a task, and train it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from edgecnn.model.networks.adopt import as_float32
from edgecnn.model.networks.backbones import BACKBONES, HEAD, build_backbone
from edgecnn.model.networks.small import build_network, load_network
from edgecnn.records import Json, Progress
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.cluster import local_copy, movable, strategy_of
from edgecnn.train.fitting.fit_network import Fit, fit_network
from edgecnn.train.fitting.imbalance import adjust_scores, last_dense
from edgecnn.train.options import TrainOptions
from edgecnn.train.synthesis.gate import Made, join, synthesize
from edgecnn.train.task import Part, Task

__all__ = ["Learned", "fine_tune", "learn"]

# The classifier's share of the epochs and of the time budget.
_HEAD_SHARE = 0.2
# A learning rate for a new classifier would destroy the trained features.
_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network, its training run, and the origin of the network and its first weights.

    classes  int, shape (n,): the class of each training image, synthetic ones included
    made     the synthetic images and the decision about them; None without `synthesize`
    """

    model: keras.Model
    fit: Fit
    network: Json
    classes: np.ndarray
    made: Made | None = None


def learn(task: Task, progress: Progress | None) -> Learned:
    """Train the task's network on its training images, and on synthetic ones if they help.

    Raises:
        ModelError: The user's own network can't be used, or the loss became NaN.
    """
    options = task.options
    images = _examples(task, "train")
    made = _make_images(task, images, progress) if options.synthesize else None
    if made and made.extra:
        images = join(images, made.extra)
    seen = images
    if task.camera:
        tensors = FieldTensors(images.tensors, task.camera, options.seed, options.resize)
        seen = replace(images, tensors=tensors)
    return replace(_train(task, options, seen, progress), made=made)


def _make_images(task: Task, train: Examples, progress: Progress | None) -> Made:
    """Make images of rare classes with a generator; keep them if real images are read better."""

    def trained(images: Examples, short: TrainOptions) -> keras.Model:
        return _train(task, short, images, None).model

    val = _examples(task, "val")
    return synthesize(train, val, task.data.labels, task.options, trained, progress)


def _train(
    task: Task, options: TrainOptions, images: Examples, progress: Progress | None
) -> Learned:
    strategy = strategy_of(task.cluster)
    tf.config.list_physical_devices()
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model, network = _network(task, options)
    if options.imbalance == "logit_adjustment":
        last_dense(model)  # refuses before the training, not after it
    model = movable(model) if task.cluster else model
    run = fine_tune if options.pretrained else fit_network
    with strategy.scope():
        fit = run(model, images, _examples(task, "val"), options, progress)
    model = as_float32(local_copy(model) if task.cluster else model)
    adjust_scores(model, images.classes, options)
    return Learned(model, fit, network, images.classes)


def _examples(task: Task, part: Part) -> Examples:
    return Examples(task.tensors(part), task.classes(part))


def _network(task: Task, options: TrainOptions) -> tuple[keras.Model, Json]:
    """Build the network, and describe its origin and that of its weights for the card."""
    shape, num_classes = task.shape, len(task.data.labels)
    if options.network in BACKBONES:
        return build_backbone(options.network, shape, num_classes, options.weights, options.dropout)
    if options.network is not None:
        model = load_network(options.network, shape, num_classes)
        return model, {"name": options.network, "weights": "the user's own"}
    model = build_network(
        shape,
        num_classes,
        width=options.network_width,
        dropout=options.dropout,
        l1=options.l1,
        l2=options.l2,
    )
    return model, {"name": "built-in", "weights": "none"}


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

    Raises:
        ModelError: The loss became NaN.
    """
    epochs = options.epochs
    if options.fine_tune:
        epochs = max(1, round(epochs * _HEAD_SHARE))
    share = epochs / options.epochs
    _freeze(model, features=True)
    fit = fit_network(model, train, val, _part(options, epochs, share), progress)
    if epochs < options.epochs:
        done, best = fit.epochs, model.get_weights()
        _freeze(model, features=False)
        rest = _part(options, options.epochs - epochs, 1 - share)
        rest = replace(rest, learning_rate=max(1e-6, options.learning_rate * _RATE))
        fit = _joined(fit, fit_network(model, train, val, rest, progress))
        if fit.best_epoch <= done:
            model.set_weights(best)
    for layer in model.layers:
        layer.trainable = True
    return fit


def _part(options: TrainOptions, epochs: int, share: float) -> TrainOptions:
    seconds = None if options.seconds is None else max(1.0, options.seconds * share)
    return replace(options, epochs=epochs, seconds=seconds)


def _freeze(model: keras.Model, *, features: bool) -> None:
    """Freeze all layers but the classifier, or only batch norm."""
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = layer.name == HEAD or not (features or norm)


def _joined(first: Fit, second: Fit) -> Fit:
    history = {k: first.history[k] + second.history[k] for k in first.history}
    so_far = first.history["seconds"][-1]
    history["seconds"] = first.history["seconds"] + [
        round(so_far + s, 2) for s in second.history["seconds"]
    ]
    return Fit(history, second.stopped_by)
