"""Estimate the batch-norm statistics of averaged weights, which no training step has used."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

__all__ = ["reestimate_batch_norm"]


def reestimate_batch_norm(model: keras.Model, batches: Iterable[tf.Tensor]) -> None:
    """Set the moving statistics to their mean over batches, in place; frozen layers keep theirs.

    Args:
        batches: Images as the network trains on them, float32 (n, height, width, 3).

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    seen = []
    for layer in layers:
        layer.momentum = 0.0  # the moving statistics become those of the batch
    for images in batches:
        model(images, training=True)
        seen.append([_value(v) for layer in layers for v in layer.non_trainable_variables])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    means = iter(np.mean(column, axis=0) for column in zip(*seen, strict=True))
    for layer in layers:
        for variable in layer.non_trainable_variables:
            variable.assign(next(means))


def _value(variable: keras.Variable) -> np.ndarray:
    """Copy a variable, because its memory changes with the next batch."""
    return np.array(keras.ops.convert_to_numpy(variable))
