"""The input pipeline: batches of augmented training images and of fixed validation images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from edgecnn.model.augment import build_augmentation
from edgecnn.model.imbalance import sampling_order
from edgecnn.model.options import TrainOptions

__all__ = ["Examples", "batch_size", "training_batches", "validation_batches"]

_MIN_STEPS = 24


@dataclass(frozen=True, eq=False)
class Examples:
    """uint8 tensors (n, height, width, 3) with their classes (n,)."""

    tensors: np.ndarray
    classes: np.ndarray


def batch_size(count: int, options: TrainOptions) -> int:
    """As asked for; else 64, or 32 or 16 when an epoch of a small set would have few steps."""
    if options.batch_size is not None:
        return min(options.batch_size, count)
    return next((size for size in (64, 32) if count // size >= _MIN_STEPS), min(16, count))


def training_batches(train: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Endless augmented batches: float32 images and one-hot labels, the same for a seed."""
    images = tf.constant(train.tensors)
    labels = tf.one_hot(train.classes, num_classes)
    augment = build_augmentation(options.augment, options.seed)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.cast(tf.gather(images, index), tf.float32)
        if augment is not None:
            batch = augment(batch, training=True)
        return batch, tf.gather(labels, index)

    # One at a time: the layers' random state must be drawn in order to be reproducible.
    order = sampling_order(train.classes, num_classes, options)
    size = batch_size(len(train.classes), options)
    return order.batch(size, drop_remainder=True).map(load).prefetch(4)


def validation_batches(val: Examples, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    images = val.tensors.astype(np.float32)
    labels = np.eye(num_classes, dtype=np.float32)[val.classes]
    augment = build_augmentation(options.augment, options.seed + 1000)
    if augment is not None:
        changed = [
            np.asarray(augment(images[k : k + 256], training=True))
            for k in range(0, len(images), 256)
        ]
        images, labels = np.concatenate([images, *changed]), np.concatenate([labels, labels])
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(256)
