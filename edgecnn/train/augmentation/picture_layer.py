"""Keras layers that change each picture of a batch with OpenCV, the same way for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

__all__ = ["PictureLayer", "PictureLayers", "call_at", "opencv_on_one_thread"]


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Stop OpenCV from sharing each picture among threads: waking one costs more than a warp."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def call_at(layer: keras.layers.Layer, inputs: Any, seed: int, number: tf.Tensor) -> Any:
    """Call a built layer in training with the random states of batch `number`.

    The result depends on the seed and the number (int64, a scalar) alone, on any thread.
    """
    states = tf.random.stateless_uniform(
        (len(layer.non_trainable_variables), 2),
        tf.stack([tf.constant(seed, tf.int64), number]),
        maxval=2**31 - 1,
        dtype=tf.int64,
    )
    return layer.stateless_call([], list(tf.unstack(states)), inputs, training=True)[0]


class PictureLayer(keras.layers.Layer):  # type: ignore[misc]
    """The base of layers that change pictures with OpenCV.

    Call arguments:
        images: uint8 or float32, shape (n, height, width, 3), values in [0, 255]; floats are
            rounded. The result has the same dtype.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True  # this is its only variable

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return changed copies of uint8 pictures, shape (n, height, width, 3)."""
        raise NotImplementedError

    def call(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The changed images; the images themselves when not training."""
        images = tf.convert_to_tensor(images)
        if not training:
            return images
        bytes_ = images if images.dtype == tf.uint8 else tf.cast(tf.round(images), tf.uint8)
        seed = keras.random.randint((2,), 0, 2**31 - 1, seed=self.generator)
        changed = tf.numpy_function(self._changed, [bytes_, seed], tf.uint8, stateful=False)
        return tf.cast(tf.ensure_shape(changed, images.shape), images.dtype)

    def _changed(self, images: np.ndarray, seed: np.ndarray) -> np.ndarray:
        return self.change(images, np.random.default_rng(seed))


class PictureLayers(PictureLayer):
    """Several picture layers in turn, with one call into Python for each batch."""

    def __init__(self, layers: Sequence[PictureLayer], seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.changes = [layer.change for layer in layers]

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for change in self.changes:
            images = change(images, rng)
        return images
