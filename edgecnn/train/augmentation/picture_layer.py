"""Keras layers that change each picture of a batch by OpenCV, the same for a seed.

TensorFlow's own operations cost five times as much on the CPU that also trains the network, and
most changes touch a few pictures of a batch only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

__all__ = ["PictureLayer", "PictureLayers", "opencv_on_one_thread"]


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Keep OpenCV from sharing each picture among threads.

    Its warp does so however small a picture is: waking the other thread and waiting for it costs
    more than the warp, and the other core is at work on the network.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class PictureLayer(keras.layers.Layer):  # type: ignore[misc]
    """Does nothing by itself: a child changes the pictures.

    Call arguments:
        images: uint8 or float32, shape (n, height, width, 3), values in [0, 255]; floats are
            rounded. The result has the same dtype.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(seed)

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 pictures, shape (n, height, width, 3), changed; the given ones stay as they are."""
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
    """Some of them in turn, in one call of Python a batch."""

    def __init__(self, layers: Sequence[PictureLayer], seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.changes = [layer.change for layer in layers]

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for change in self.changes:
            images = change(images, rng)
        return images
