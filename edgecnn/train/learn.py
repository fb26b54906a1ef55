"""Choose the network and its images for a task, and train it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from edgecnn.model.networks.adopt import as_float32
from edgecnn.model.networks.backbones import BACKBONES, build_backbone
from edgecnn.model.networks.small import build_network, load_network
from edgecnn.records import Json, Progress
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.cluster import local_copy, movable, strategy_of
from edgecnn.train.fitting.fit_network import Fit, fit_network
from edgecnn.train.fitting.imbalance import adjust_scores, last_dense
from edgecnn.train.fitting.transfer import fine_tune
from edgecnn.train.options import TrainOptions
from edgecnn.train.synthesis.gate import Made, join, synthesize
from edgecnn.train.task import Part, Task

__all__ = ["Learned", "learn", "make_images"]


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network, its training run, and the origin of the network and its first weights."""

    model: keras.Model
    fit: Fit
    network: Json


def learn(task: Task, made: Made | None, progress: Progress | None) -> Learned:
    """Train the task's network on its training images, and on synthetic ones if they were kept.

    Raises:
        ModelError: The user's own network can't be used, or the loss became NaN.
    """
    options = task.options
    images = _examples(task, "train")
    if made and made.extra:
        images = join(images, made.extra)
    seen = images
    if task.camera:
        tensors = FieldTensors(images.tensors, task.camera, options.seed, options.resize)
        seen = replace(images, tensors=tensors)
    return _train(task, options, images, seen, progress)


def make_images(task: Task, progress: Progress | None) -> Made:
    """Make images of rare classes with a generator; keep them if real images are read better."""

    def trained(images: Examples, short: TrainOptions) -> keras.Model:
        return _train(task, short, images, images, None).model

    train, val = _examples(task, "train"), _examples(task, "val")
    return synthesize(train, val, task.data.labels, task.options, trained, progress)


def _train(
    task: Task,
    options: TrainOptions,
    images: Examples,
    seen: Examples,
    progress: Progress | None,
) -> Learned:
    """Train on `seen`: the images, or the images through a fitted camera."""
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
        fit = run(model, seen, _examples(task, "val"), options, progress)
    model = as_float32(local_copy(model) if task.cluster else model)
    adjust_scores(model, images.classes, options)
    return Learned(model, fit, network)


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
