"""Random geometry as one composed warp a batch: a warp a layer costs several times as much."""

from __future__ import annotations

from math import pi
from typing import Any

import keras
import tensorflow as tf

__all__ = ["RandomAffine"]


class RandomAffine(keras.layers.Layer):  # type: ignore[misc]
    """Rotate, shift, zoom and shear each image of a batch by its own draw, in one warp.

    Edges are filled with the nearest pixel: a black border would be a feature of its own.

    Call arguments:
        images: float32, shape (n, height, width, 3), values in [0, 255].
    """

    def __init__(
        self, rotation: float, shift: float, zoom: float, shear: float, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rotation, self.shift, self.zoom, self.shear = rotation, shift, zoom, shear
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The warped images; the images themselves when not training."""
        if not training:
            return images
        shape = tf.shape(images)
        size = tf.cast(shape[1:3], tf.float32)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._transforms(shape[0], size),
            output_shape=shape[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    def _transforms(self, count: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Output pixel -> input pixel, about the centre: x' = a x + b y + c, y' = d x + e y + f."""

        def draw(half_width: float) -> tf.Tensor:
            return keras.random.uniform((count,), -half_width, half_width, seed=self.generator)

        height, width = size[0], size[1]
        angle = draw(self.rotation * pi / 180)
        zoom = tf.exp(draw(self.zoom))
        stretch = tf.exp(draw(self.zoom / 2))
        shear = draw(self.shear)
        cos, sin = tf.cos(angle), tf.sin(angle)
        a, b = cos * zoom * stretch, (shear - sin) * zoom
        d, e = sin * zoom, cos * zoom / stretch
        cx, cy = (width - 1) / 2, (height - 1) / 2
        c = cx - a * cx - b * cy + draw(self.shift) * width
        f = cy - d * cx - e * cy + draw(self.shift) * height
        zero = tf.zeros_like(a)
        return tf.stack([a, b, c, d, e, f, zero, zero], axis=1)
