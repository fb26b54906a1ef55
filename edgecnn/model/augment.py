"""Augmentation as Keras preprocessing layers: in the input pipeline, never in the exported graph.

All geometry is one composed warp a batch (a warp a layer costs several times as much on a CPU),
all light is one pass of point operations. No mirror images: they turn a 2 into no digit at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from edgecnn.model.warp import RandomAffine

__all__ = ["STRENGTHS", "AugmentOptions", "RandomLight", "build_augmentation"]


@dataclass(frozen=True)
class AugmentOptions:
    """Half-widths of uniform draws.

    rotation in degrees; shift as a share of the side; zoom and shear as factors. light: how far
    exposure, contrast, white balance and saturation go (1 = as far as cheap field cameras do).
    """

    rotation: float
    shift: float
    zoom: float
    shear: float
    light: float
    noise: float
    blur: float
    invert: float


STRENGTHS: dict[str, AugmentOptions | None] = {
    "none": None,
    "light": AugmentOptions(5.0, 0.06, 0.1, 0.05, 0.3, 3.0, 0.1, 0.0),
    "default": AugmentOptions(12.0, 0.15, 0.25, 0.1, 1.0, 10.0, 0.25, 0.1),
}


class RandomLight(keras.layers.Layer):  # type: ignore[misc]
    """Change exposure, contrast, white balance, saturation, evenness, sharpness, noise, polarity.

    `light` scales the first four; `noise` is the largest standard deviation in grey levels;
    `blur` and `invert` are the shares of images that are softened or negated (dark digits on
    a light ground and light ones on a dark ground are the same digits).

    Call arguments:
        images: float32, shape (n, height, width, 3), values in [0, 255].
    """

    def __init__(
        self, light: float, noise: float, blur: float, invert: float, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.light, self.noise, self.blur, self.invert = light, noise, blur, invert
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The changed images, in [0, 255]; the images themselves when not training."""
        if not training:
            return images
        count = tf.shape(images)[0]
        x = self._polarity(images, count)
        x = self._colour(x, count)
        x = self._gradient(x, count)
        x = self._soften(x, count)
        sigma = self._uniform((count, 1, 1, 1), 0.0, self.noise)
        x += sigma * keras.random.normal(tf.shape(x), seed=self.generator)
        return tf.clip_by_value(x, 0.0, 255.0)

    def _uniform(self, shape: Any, low: float, high: float) -> tf.Tensor:
        return keras.random.uniform(shape, low, high, seed=self.generator)

    def _polarity(self, x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return tf.where(self._uniform((count, 1, 1, 1), 0.0, 1.0) < self.invert, 255.0 - x, x)

    def _colour(self, x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        grey = tf.reduce_mean(x, axis=3, keepdims=True)
        keep = self._uniform((count, 1, 1, 1), max(0.0, 1 - self.light), 1 + 0.3 * self.light)
        x = grey + (x - grey) * keep
        mean = tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)
        contrast = tf.exp(self._uniform((count, 1, 1, 1), -0.6 * self.light, 0.4 * self.light))
        exposure = tf.exp(self._uniform((count, 1, 1, 1), -0.6 * self.light, 0.4 * self.light))
        balance = tf.exp(self._uniform((count, 1, 1, 3), -0.2 * self.light, 0.2 * self.light))
        return (mean + (x - mean) * contrast) * exposure * balance

    def _gradient(self, x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Light that falls off across the picture, as from a lamp at one side."""
        across = tf.linspace(-1.0, 1.0, tf.shape(x)[2])[None, None, :, None]
        down = tf.linspace(-1.0, 1.0, tf.shape(x)[1])[None, :, None, None]
        slope = self._uniform((count, 1, 1, 2), -0.25 * self.light, 0.25 * self.light)
        return x * (1.0 + slope[..., :1] * across + slope[..., 1:] * down)

    def _soften(self, x: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        soft = tf.nn.avg_pool2d(x, 3, 1, "SAME")
        amount = self._uniform((count, 1, 1, 1), 0.0, 1.0)
        chosen = self._uniform((count, 1, 1, 1), 0.0, 1.0) < self.blur
        return x + tf.where(chosen, amount, 0.0) * (soft - x)


def build_augmentation(strength: str, seed: int) -> keras.Sequential | None:
    """The augmentation of a strength in STRENGTHS, or None for "none".

    Returns:
        Layers from and to float32 images, shape (n, height, width, 3), values in [0, 255].
    """
    options = STRENGTHS[strength]
    if options is None:
        return None
    o = options
    return keras.Sequential(
        [
            RandomAffine(o.rotation, o.shift, o.zoom, o.shear, seed),
            RandomLight(o.light, o.noise, o.blur, o.invert, seed + 1),
        ],
        name="augmentation",
    )
