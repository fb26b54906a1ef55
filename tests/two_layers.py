"""The smallest network that learns digits: for tests in which any network does.

`network="two_layers:build"` takes it. Compiling and converting grow with the layers, and are most
of the work of a short training.
"""

from __future__ import annotations

import keras
from keras import layers


def build(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """One convolution and one dense layer, from pixels 0..255 to softmax scores."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(16, 3, strides=2, use_bias=False)(layers.Rescaling(1 / 255)(image))
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    return keras.Model(image, layers.Dense(num_classes, activation="softmax")(x), name="two_layers")
