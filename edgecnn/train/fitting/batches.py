"""Make batches of augmented training images and of fixed validation images.

The same seed gives the same batches, although all cores make those of large pictures at once. The
random state of every augmentation layer comes from the seed and the batch's number (Keras's
`stateless_call`), so any Keras layer works. Tensors are read batch by batch, because their file may
be larger than the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from edgecnn.images.tensors import Tensors
from edgecnn.train.augmentation.mixing import Mixer, build_mixer
from edgecnn.train.augmentation.picture_layer import PictureLayer, random_states
from edgecnn.train.augmentation.pipeline import build_augmentation
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.fitting.imbalance import sampling_order
from edgecnn.train.options import TrainOptions

__all__ = ["Augmenter", "Examples", "batch_size", "training_batches", "validation_batches"]

_MIN_STEPS = 24
_VAL_BATCH = 128
_AHEAD = 4  # batches; more would only take memory
# Smaller pictures are made one batch at a time: OpenCV's calls are so short that two threads lose
# more by passing Python's lock to each other than they gain.
_SHARED_FROM = 80 * 80  # pixels


@dataclass(frozen=True, eq=False)
class Examples:
    """uint8 tensors (n, height, width, 3) with their classes (n,)."""

    tensors: Tensors
    classes: np.ndarray

    def take(self, rows: tf.Tensor) -> tf.Tensor:
        """Read some rows in a graph: float32, shape (rows, height, width, 3)."""
        return tf.cast(self.take_bytes(rows), tf.float32)

    def take_bytes(self, rows: tf.Tensor) -> tf.Tensor:
        """Read some rows in a graph as uint8."""
        images = tf.numpy_function(self.tensors.__getitem__, [rows], tf.uint8, stateful=False)
        images.set_shape((rows.shape[0], *self.tensors.shape[1:]))
        return images


class Augmenter:
    """A Keras layer as a function of images and a batch number, the same on any thread.

    Args:
        layer: From and to float32 images, shape (n, height, width, 3), values in [0, 255]. A
            PictureLayer gets the bytes as they are.
        shape: (height, width, 3).
    """

    def __init__(self, layer: keras.layers.Layer, shape: tuple[int, ...], seed: int) -> None:
        layer(np.zeros((1, *shape), np.float32), training=True)  # creates its variables
        self.layer = layer
        self.seed = seed

    def __call__(self, images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Augment the batch with this number (int64, a scalar): uint8 or float32 to float32."""
        states = random_states(self.layer, self.seed, number)
        if not isinstance(self.layer, PictureLayer):
            images = tf.cast(images, tf.float32)
        images, _ = self.layer.stateless_call([], states, images, training=True)
        return tf.cast(images, tf.float32)


def batch_size(count: int, options: TrainOptions) -> int:
    """The requested batch size, else 64, or less if an epoch would have too few steps."""
    if options.batch_size is not None:
        return min(options.batch_size, count)
    return next((size for size in (64, 32) if count // size >= _MIN_STEPS), min(16, count))


def training_batches(train: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Make endless augmented batches: float32 images and one-hot labels."""
    labels = tf.one_hot(train.classes, num_classes)
    augment = _augmenter(train, options, options.seed)
    mixer = _mixer(train, num_classes, options)

    def load(number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = augment(train.take_bytes(rows), number) if augment else train.take(rows)
        if mixer is not None:
            return mixer.at(images, tf.gather(labels, rows), options.seed, number)
        return images, tf.gather(labels, rows)

    order = sampling_order(train.classes, num_classes, options)
    batches = order.batch(batch_size(len(train.classes), options), drop_remainder=True)
    made = batches.enumerate().map(load, _workers(train), deterministic=True)
    return _shared(made.prefetch(_AHEAD))


def validation_batches(val: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Make batches of validation images: clean, in a simulated field, and augmented.

    They are the same in every epoch and stay in memory if they fit.
    """
    labels = tf.one_hot(val.classes, num_classes)
    field = replace(val, tensors=FieldTensors(val.tensors, None, options.seed + 1000, share=1.0))
    augment = _augmenter(val, options, options.seed + 1000)

    def load(number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = val.take(rows)
        parts = [images, field.take(rows)]
        if augment is not None:
            parts.append(augment(images, number))
        return tf.concat(parts, 0), tf.tile(tf.gather(labels, rows), (len(parts), 1))

    rows = tf.data.Dataset.range(len(val.classes)).batch(_VAL_BATCH)
    made = rows.enumerate().map(load, _workers(val), deterministic=True)
    # Three versions with 4 bytes for each value.
    if 12 * np.prod(val.tensors.shape, dtype=float) <= options.memory_mb * 2**20:
        made = made.cache()
    return _shared(made.prefetch(1))


def _workers(examples: Examples) -> int:
    height, width = examples.tensors.shape[1:3]
    return int(tf.data.AUTOTUNE) if height * width >= _SHARED_FROM else 1


def _shared(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Let each of several workers take its part of every batch."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def _augmenter(examples: Examples, options: TrainOptions, seed: int) -> Augmenter | None:
    layer = build_augmentation(options.augment, seed, options.without)
    return layer and Augmenter(layer, examples.tensors.shape[1:], seed)


def _mixer(examples: Examples, num_classes: int, options: TrainOptions) -> Mixer | None:
    mixer = build_mixer(options.add_augmentation, options.seed, without=options.without)
    if mixer is not None:  # the call creates its variables
        shape = examples.tensors.shape[1:]
        mixer(
            {
                "images": np.zeros((1, *shape), np.float32),
                "labels": np.zeros((1, num_classes), np.float32),
            },
            training=True,
        )
    return mixer
