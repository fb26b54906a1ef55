"""Make batches of augmented training images and of fixed validation images.

The same seed gives the same batches, although all cores make those of large pictures at once: see
`call_at`. Tensors are read batch by batch, because their file may be larger than the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from edgecnn.images.tensors import Tensors
from edgecnn.train.augmentation.mixing import build_mixer
from edgecnn.train.augmentation.picture_layer import call_at
from edgecnn.train.augmentation.pipeline import layers_of
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.fitting.imbalance import sampling_order
from edgecnn.train.options import TrainOptions

__all__ = ["Examples", "batch_size", "training_batches", "validation_batches"]

_MIN_STEPS = 24
_PRETRAINED_BATCH = 16
_VAL_BATCH = 128
_AHEAD = 4  # batches; more would only take memory
# Smaller pictures are made one batch at a time: OpenCV's calls are so short that two threads lose
# more by passing Python's lock to each other than they gain.
_SHARED_FROM = 80 * 80  # pixels


@dataclass(frozen=True, eq=False)
class Examples:
    """uint8 tensors (n, height, width, 3) with their classes (n,).

    wanted  the features that a network is to find in each image: float32 (views, n, features),
            the first view as it is, the second mirrored; None where only classes count
    """

    tensors: Tensors
    classes: np.ndarray
    wanted: np.ndarray | None = None

    def take(self, rows: tf.Tensor) -> tf.Tensor:
        """Read some rows in a graph: uint8, shape (rows, height, width, 3)."""
        images = tf.numpy_function(self.tensors.__getitem__, [rows], tf.uint8, stateful=False)
        images.set_shape((rows.shape[0], *self.tensors.shape[1:]))
        return images

    def mirrored(self, images: tf.Tensor, rows: tf.Tensor, seed: int, number: tf.Tensor) -> Any:
        """Images of these rows, half of them mirrored if that is a view, and what is wanted."""
        wanted = self.wanted
        assert wanted is not None
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        view = tf.random.stateless_uniform(tf.shape(rows), seeds, 0, len(wanted), tf.int32)
        turned = tf.cast(view, tf.bool)[:, None, None, None]
        images = tf.where(turned, tf.reverse(images, [2]), images)
        found = tf.numpy_function(lambda *at: wanted[at], [view, rows], tf.float32, stateful=False)
        found.set_shape((rows.shape[0], wanted.shape[-1]))
        return images, found


def batch_size(count: int, options: TrainOptions) -> int:
    """The requested batch size, else 64, or less if an epoch would have too few steps.

    A pretrained network takes 16: it needs few steps, and much memory for each image.
    """
    if options.batch_size is not None:
        return min(options.batch_size, count)
    if options.pretrained:
        return min(_PRETRAINED_BATCH, count)
    return next((size for size in (64, 32) if count // size >= _MIN_STEPS), min(16, count))


def training_batches(train: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Make endless augmented batches: float32 images and one-hot labels.

    Behind the labels stand the features that are wanted. Then mirroring is done here.
    """
    labels = tf.one_hot(train.classes, num_classes)
    augment = layers_of(options.augmentation, options.seed)
    mixer = build_mixer(options.add_augmentation, options.seed, without=options.without)
    if mixer:  # the call creates its variables
        shapes = {"images": (1, *train.tensors.shape[1:]), "labels": (1, num_classes)}
        mixer({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, training=True)

    def load(number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, truth = train.take(rows), tf.gather(labels, rows)
        if train.wanted is not None:
            images, wanted = train.mirrored(images, rows, options.seed, number)
            truth = tf.concat([truth, wanted], axis=1)
        if augment:
            images = call_at(augment, images, options.seed, number)
        batch = {"images": tf.cast(images, tf.float32), "labels": truth}
        if mixer:
            batch = call_at(mixer, batch, options.seed, number)
        return batch["images"], batch["labels"]

    order = sampling_order(train.classes, num_classes, options)
    batches = order.batch(batch_size(len(train.classes), options), drop_remainder=True)
    made = batches.enumerate().map(load, _workers(train), deterministic=True)
    return _shared(made.prefetch(_AHEAD))


def validation_batches(
    val: Examples,
    num_classes: int,
    options: TrainOptions,
    *,
    clean: bool = False,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Make batches of validation images: clean, and unless only these are wanted also in a
    simulated field and augmented.

    They are the same in every epoch and stay in memory if they fit.

    Args:
        weights: Of an image of each class in the loss; None: all weigh the same.
    """
    made = _clean_batches if clean else _varied_batches
    batches = made(val, num_classes, options)
    if weights is not None:
        each = tf.constant(weights)
        batches = batches.map(lambda x, truth: (x, truth, tf.linalg.matvec(truth, each)))
    return batches


def _varied_batches(val: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    labels = tf.one_hot(val.classes, num_classes)
    seed = options.seed + 1000
    field = replace(val, tensors=FieldTensors(val.tensors, None, seed, share=1.0))
    augment = layers_of(options.augmentation, seed)

    def load(number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = val.take(rows)
        parts = [images, field.take(rows)]
        if augment is not None:
            parts.append(call_at(augment, images, seed, number))
        images = tf.cast(tf.concat(parts, 0), tf.float32)
        return images, tf.tile(tf.gather(labels, rows), (len(parts), 1))

    rows = tf.data.Dataset.range(len(val.classes)).batch(_VAL_BATCH)
    made = rows.enumerate().map(load, _workers(val), deterministic=True)
    # Three versions with 4 bytes for each value.
    if 12 * np.prod(val.tensors.shape, dtype=float) <= options.memory_mb * 2**20:
        made = made.cache()
    return _shared(made.prefetch(1))


def _clean_batches(val: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    labels = tf.one_hot(val.classes, num_classes)

    def load(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(val.take(rows), tf.float32), tf.gather(labels, rows)

    rows = tf.data.Dataset.range(len(val.classes)).batch(batch_size(len(val.classes), options))
    return _shared(rows.map(load, _workers(val), deterministic=True).prefetch(1))


def _workers(examples: Examples) -> int:
    height, width = examples.tensors.shape[1:3]
    return int(tf.data.AUTOTUNE) if height * width >= _SHARED_FROM else 1


def _shared(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Let each of several workers take its part of every batch."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)
