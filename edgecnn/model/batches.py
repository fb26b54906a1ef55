"""The input pipeline: batches of augmented training images and of fixed validation images.

Batches are made on all cores at once and are the same for a seed all the same: the random state
of every layer of the augmentation is drawn anew for each batch, from the seed and the batch's
number, and handed in (Keras's `stateless_call`). So any Keras layer will do, and none of them
need know. Tensors are read by the batch: they may lie in a file that is larger than the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from edgecnn.images.tensors import Tensors
from edgecnn.model.augment import build_augmentation
from edgecnn.model.field import FieldTensors
from edgecnn.model.imbalance import sampling_order
from edgecnn.model.mixing import Mixer, build_mixer
from edgecnn.model.options import TrainOptions

__all__ = ["Augmenter", "Examples", "batch_size", "training_batches", "validation_batches"]

_MIN_STEPS = 24
_VAL_BATCH = 128
_AHEAD = 4  # batches; more would only take memory


@dataclass(frozen=True, eq=False)
class Examples:
    """uint8 tensors (n, height, width, 3) with their classes (n,)."""

    tensors: Tensors
    classes: np.ndarray

    def take(self, rows: tf.Tensor) -> tf.Tensor:
        """The tensors of some rows, in a graph: float32, shape (rows, height, width, 3)."""
        images = tf.numpy_function(self.tensors.__getitem__, [rows], tf.uint8, stateful=False)
        images.set_shape((rows.shape[0], *self.tensors.shape[1:]))
        return tf.cast(images, tf.float32)


class Augmenter:
    """Keras layers as a function of images and a number: the same for a seed on any thread.

    Args:
        layers: From and to float32 images, shape (n, height, width, 3), values in [0, 255].
        shape: (height, width, 3).
    """

    def __init__(self, layers: keras.layers.Layer, shape: tuple[int, ...], seed: int) -> None:
        layers(np.zeros((1, *shape), np.float32), training=True)  # makes its variables
        self.layers, self.seed = layers, seed

    def __call__(self, images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Augment the batch of this number (int64, a scalar)."""
        states = tf.random.stateless_uniform(
            (len(self.layers.non_trainable_variables), 2),
            tf.stack([tf.constant(self.seed, tf.int64), number]),
            maxval=2**31 - 1,
            dtype=tf.int64,
        )
        changed, _ = self.layers.stateless_call([], tf.unstack(states), images, training=True)
        return changed


def batch_size(count: int, options: TrainOptions) -> int:
    """As asked for; else 64, or 32 or 16 when an epoch of a small set would have few steps."""
    if options.batch_size is not None:
        return min(options.batch_size, count)
    return next((size for size in (64, 32) if count // size >= _MIN_STEPS), min(16, count))


def training_batches(train: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Endless augmented batches: float32 images and one-hot labels, the same for a seed."""
    labels = tf.one_hot(train.classes, num_classes)
    augment = _augmenter(train, options, options.seed)
    mixer = _mixer(train, num_classes, options)

    def load(number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = train.take(rows)
        if augment is not None:
            images = augment(images, number)
        if mixer is not None:
            return mixer.at(images, tf.gather(labels, rows), options.seed, number)
        return images, tf.gather(labels, rows)

    order = sampling_order(train.classes, num_classes, options)
    batches = order.batch(batch_size(len(train.classes), options), drop_remainder=True)
    made = batches.enumerate().map(load, tf.data.AUTOTUNE, deterministic=True)
    return _shared(made.prefetch(_AHEAD))


def validation_batches(val: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """The validation images and a copy of each in a simulated field, the same in every epoch.

    They stay in memory if they fit.
    """
    labels = tf.one_hot(val.classes, num_classes)
    field = replace(val, tensors=FieldTensors(val.tensors, None, options.seed + 1000, share=1.0))

    def load(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        classes = tf.gather(labels, rows)
        images = tf.concat([val.take(rows), field.take(rows)], 0)
        return images, tf.concat([classes, classes], 0)

    rows = tf.data.Dataset.range(len(val.classes)).batch(_VAL_BATCH)
    made = rows.map(load, tf.data.AUTOTUNE, deterministic=True)
    if 8 * np.prod(val.tensors.shape, dtype=float) <= options.memory_mb * 2**20:  # two of 4 bytes
        made = made.cache()
    return _shared(made.prefetch(1))


def _shared(batches: tf.data.Dataset) -> tf.data.Dataset:
    """With several workers each takes its part of every batch: the batches of one worker."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def _augmenter(examples: Examples, options: TrainOptions, seed: int) -> Augmenter | None:
    layers = build_augmentation(options.augment, seed, options.without)
    return layers and Augmenter(layers, examples.tensors.shape[1:], seed)


def _mixer(examples: Examples, num_classes: int, options: TrainOptions) -> Mixer | None:
    mixer = build_mixer(options.add_augmentation, options.seed, without=options.without)
    if mixer is not None:  # makes its variables
        shape = examples.tensors.shape[1:]
        mixer(
            {
                "images": np.zeros((1, *shape), np.float32),
                "labels": np.zeros((1, num_classes), np.float32),
            },
            training=True,
        )
    return mixer
