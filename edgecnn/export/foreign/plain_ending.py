"""The usual endings of a network as the one that adapting knows: a dense layer, then a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecnn.model.networks.adopt import activation_of

__all__ = ["with_plain_ending"]

# TFLite leaves out a bias of zeros, and then a new last layer has no place for its own. What is
# added to all classes alike changes no softmax.
_NO_BIAS = 1e-6


def with_plain_ending(model: Any) -> Any:
    """The same scores from a dense layer with a bias and a softmax, the last of the network.

    Rebuilt are dense layers without a bias and 1x1 convolutions of a single pixel.

    Args:
        model: A keras.Model from `end_in_softmax`; given back as it is where it ends otherwise.
    """
    import keras

    layers = keras.layers
    layer, softmaxes = model.outputs[0]._keras_history.operation, 0
    while isinstance(layer, layers.Flatten | layers.Reshape | layers.Activation | layers.Softmax):
        softmaxes += activation_of(layer) == "softmax"
        if activation_of(layer) not in ("softmax", "linear"):
            return model
        layer = layer.input._keras_history.operation
    softmaxes += activation_of(layer) == "softmax"
    if softmaxes != 1 or activation_of(layer) not in ("softmax", "linear") or not _is_dense(layer):
        return model
    kernel, bias = layer.get_weights()[0], layer.bias
    values = np.zeros(kernel.shape[-1]) if bias is None else np.asarray(bias)
    if isinstance(layer, layers.Dense) and len(layer.input.shape) == 2 and values.any():
        return model
    seen = layer.input if len(layer.input.shape) == 2 else layers.Flatten()(layer.input)
    dense = layers.Dense(len(values), activation="softmax", name="scores_of_classes")
    scores = dense(seen)
    values = values if values.any() else np.full(len(values), _NO_BIAS)
    dense.set_weights([kernel.reshape(-1, len(values)), values])
    return keras.Model(model.inputs, scores, name=model.name)


def _is_dense(layer: Any) -> bool:
    """Whether each score is a weighted sum of all values that go in: float32 (n, classes)."""
    import keras

    if isinstance(layer, keras.layers.Conv2D):
        pixel = layer.kernel_size == (1, 1) and layer.groups == 1
        return pixel and layer.data_format == "channels_last" and _is_pixel(layer)
    return type(layer) is keras.layers.Dense and _is_pixel(layer)


def _is_pixel(layer: Any) -> bool:
    return all(side == 1 for side in layer.input.shape[1:-1])
