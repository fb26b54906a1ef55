"""A Keras layer that changes each picture of a batch by OpenCV, the same for a seed.

TensorFlow's own operations cost five times as much on the CPU that also trains the network, and
most changes touch a few pictures of a batch only.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["PictureLayer"]


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
