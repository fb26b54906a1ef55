"""A small class-conditional GAN that makes images of a class with few images.

All classes train it, drawn equally often. The networks follow Radford et al. 2015,
arXiv:1511.06434; hinge loss, spectral norm and class projection follow Miyato and Koyama 2018,
arXiv:1802.05637. Both networks see augmented images: Zhao et al. 2020, arXiv:2006.10738.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from edgecnn.records import Progress
from edgecnn.train.fitting.batches import Examples

__all__ = ["Generator", "train_gan"]

_LATENT = 64
_BATCH = 32
_RATE = 5e-4
_EMA = 0.995
# Filters of the generator's stages, which double the size, and of the discriminator's, which
# halve it.
_UP, _DOWN = (64, 32, 16), (32, 64, 96)
_LONGEST = 48  # pixels, for a training of minutes; larger inputs get enlarged images
_MOST = 300  # training images for each class


@dataclass(frozen=True, eq=False)
class Generator:
    """Makes images of a class, of the size of the data set's tensors."""

    model: keras.Model
    shape: tuple[int, ...]

    def sample(self, label: int, count: int, seed: int) -> np.ndarray:
        """Make images: uint8, shape (count, height, width, 3); the same for the same seed."""
        rng = np.random.default_rng(seed)
        made = [np.empty((0, *self.shape), np.uint8)]
        for start in range(0, count, 256):
            size = min(256, count - start)
            noise = rng.standard_normal((size, _LATENT)).astype(np.float32)
            images = self.model([noise, np.full(size, label)], training=False)
            images = tf.image.resize(127.5 * (images + 1), self.shape[:2])
            made.append(np.asarray(tf.clip_by_value(tf.round(images), 0, 255)).astype(np.uint8))
        return np.concatenate(made)


def train_gan(
    train: Examples,
    num_classes: int,
    steps: int,
    seed: int,
    progress: Progress | None = None,
) -> Generator:
    """Train generator and discriminator in turns on training images.

    Args:
        train: Training images only; images that judge the result must be others.
        steps: Steps with batches of 32.
    """
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    shape = tuple(train.tensors.shape[1:])
    size_hw = _size(*shape[:2])
    members = [
        rng.permutation(np.flatnonzero(train.classes == k))[:_MOST] for k in range(num_classes)
    ]
    present = [k for k in range(num_classes) if len(members[k])]
    real = (train.tensors[np.sort(members[k])] for k in present)
    small = (tf.image.resize(tensors, size_hw, antialias=True) for tensors in real)
    images = [np.asarray(pixels) / 127.5 - 1 for pixels in small]
    duel = _Duel(_generator(size_hw, num_classes), _discriminator(size_hw, num_classes))
    step = tf.function(duel.step)
    for number in range(steps):
        drawn = rng.integers(len(present), size=_BATCH)
        batch = np.stack([images[k][rng.integers(len(images[k]))] for k in drawn])
        step(batch, np.array(present)[drawn])
        if progress and (number + 1) % 50 == 0:
            progress("training the generator", number + 1, steps)
    return Generator(duel.averaged(), shape)


def _size(height: int, width: int) -> tuple[int, int]:
    """The size for both networks: sides of at most 48 pixels, in multiples of 8."""
    scale = min(1.0, _LONGEST / max(height, width))
    return tuple(max(16, 8 * round(scale * side / 8)) for side in (height, width))  # type: ignore[return-value]


def _generator(size_hw: tuple[int, int], num_classes: int) -> keras.Model:
    """A network from noise (n, 64) and class (n,) to images (n, *size_hw, 3) in [-1, 1]."""
    noise, label = keras.Input((_LATENT,)), keras.Input((), dtype="int32")
    # Half as loud as the noise. With Keras's default of 0.05 it learns the class last; as loud as
    # the noise, all images of a class look alike.
    loud = keras.initializers.RandomNormal(stddev=0.5)
    of_class = layers.Embedding(num_classes, _LATENT, embeddings_initializer=loud)(label)
    x = layers.Concatenate()([noise, of_class])
    height, width = (side // 2 ** len(_UP) for side in size_hw)
    x = layers.Dense(height * width * _UP[0])(x)
    x = layers.Reshape((height, width, _UP[0]))(x)
    for filters in _UP:
        x = layers.UpSampling2D(2)(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(
        [noise, label], layers.Conv2D(3, 3, padding="same", activation="tanh")(x), name="generator"
    )


def _discriminator(size_hw: tuple[int, int], num_classes: int) -> keras.Model:
    """A network from images and class (n,) to a score (n, 1), high for real images of the class."""
    image, label = keras.Input((*size_hw, 3)), keras.Input((), dtype="int32")
    norm = layers.SpectralNormalization
    x = image
    for filters in _DOWN:
        x = norm(layers.Conv2D(filters, 3, strides=2, padding="same"))(x)
        x = keras.ops.maximum(x, 0.2 * x)  # TensorFlow complains when it fuses LeakyReLU
    x = layers.GlobalAveragePooling2D()(x)
    of_each = norm(layers.Dense(num_classes, use_bias=False))(x)
    of_class = layers.Dot(1)([of_each, keras.ops.one_hot(label, num_classes)])
    score = layers.Add()([norm(layers.Dense(1))(x), of_class])
    return keras.Model([image, label], score, name="discriminator")


class _Duel:
    """Both networks and their optimizers."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.shift = layers.RandomTranslation(0.125, 0.125, fill_mode="nearest")
        self.make = keras.optimizers.Adam(_RATE, 0.0, 0.9, use_ema=True, ema_momentum=_EMA)
        self.judge = keras.optimizers.Adam(_RATE, 0.0, 0.9)
        self.make.build(generator.trainable_variables)
        self.judge.build(discriminator.trainable_variables)

    def step(self, images: Any, classes: Any) -> None:
        """Train the discriminator for one step, then the generator."""
        count = tf.shape(classes)[0]
        with tf.GradientTape() as tape:
            made = self.generator([tf.random.normal((count, _LATENT)), classes], training=True)
            real, fake = (
                self.discriminator([self._augmented(x), classes], training=True)
                for x in (images, made)
            )
            loss = tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake))
        weights = self.discriminator.trainable_variables
        self.judge.apply(tape.gradient(loss, weights), weights)
        with tf.GradientTape() as tape:
            made = self.generator([tf.random.normal((count, _LATENT)), classes], training=True)
            fake = self.discriminator([self._augmented(made), classes], training=True)
            loss = -tf.reduce_mean(fake)
        weights = self.generator.trainable_variables
        self.make.apply(tape.gradient(loss, weights), weights)

    def averaged(self) -> keras.Model:
        """The generator with the moving average of its weights."""
        self.make.finalize_variable_values(self.generator.trainable_variables)
        return self.generator

    def _augmented(self, images: Any) -> Any:
        """Change position, brightness and contrast, with gradients."""
        shape = (tf.shape(images)[0], 1, 1, 1)
        x = images + tf.random.uniform(shape, -0.4, 0.4)
        mean = tf.reduce_mean(x, (1, 2, 3), keepdims=True)
        x = (x - mean) * tf.random.uniform(shape, 0.6, 1.4) + mean
        return self.shift(x, training=True)
