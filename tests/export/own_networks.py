"""Networks as users make them, for the tests of `export` with Keras files."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("own_networks")
class Scale(keras.layers.Layer):
    """A layer of the user's own, registered."""

    def __init__(self, factor: float = 1.5, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def plain(shape, classes: int, activation: str | None = "softmax"):
    """Two convolutions, nothing odd."""
    layers = keras.layers
    x = image = keras.Input(shape)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.8)(x)
        x = layers.MaxPooling2D()(layers.ReLU(6.0)(x))
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(classes, activation=activation)(x), name="plain")


def exotic(shape, classes: int):
    """Everything at once: open sizes, a dict in and out, preprocessing and augmentation layers,
    depthwise convolution, hard-swish, squeeze-and-excite, a nested model, tied weights, branches,
    a layer of its own, arithmetic between layers, logits."""
    layers = keras.layers
    image = keras.Input((None, None, shape[2]), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1)(layers.RandomFlip("horizontal")(image))
    x = layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Activation("hard_silu")(layers.BatchNormalization(momentum=0.8)(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.Activation("hard_silu")(layers.BatchNormalization(momentum=0.8)(y))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(y)
    squeezed = layers.Conv2D(4, 1, activation="relu")(squeezed)
    y = layers.Multiply()([y, layers.Conv2D(12, 1, activation="hard_sigmoid")(squeezed)])
    x = Scale(1.25)(layers.Add()([x, y]))
    nested = keras.Sequential(
        [layers.Conv2D(16, 3, padding="same"), layers.ReLU(6.0), layers.MaxPooling2D()]
    )
    x = layers.Concatenate()([nested(x), nested(x * 0.5)])  # tied: the same weights twice
    x = layers.Conv2D(24, 3, padding="same", activation="relu6")(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model({"picture": image}, {"logits": layers.Dense(classes)(x)}, name="exotic")


def exotic_mixed(shape, classes: int):
    """The same, computing in float16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return exotic(shape, classes)
    finally:
        keras.config.set_dtype_policy(before)
