"""Estimate the statistics of batch norm again, from field images.

Source: Schneider et al. 2020, arXiv:2006.16971: means and variances of the field, mixed with those
of training, which count as much as 16 images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["batch_norms", "reestimate"]

_SOURCE = 16
_MOST = 128


def batch_norms(network: keras.Model) -> list[Any]:
    """The batch-norm layers in the order of the graph; none of a network within the network."""
    import keras

    return [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]


def reestimate(network: keras.Model, tensors: np.ndarray) -> None:
    """Set all batch norms of a network to the field's statistics, in place.

    One layer after the other, so that each sees what the changed ones before it make.

    Args:
        tensors: uint8 (n, height, width, 3); up to 128 of them are used, evenly spread.
    """
    import keras

    rows = np.unique(np.linspace(0, len(tensors) - 1, _MOST).round().astype(int))
    images = tensors[rows].astype(np.float32)
    share = len(images) / (len(images) + _SOURCE)
    for layer in batch_norms(network):
        seen = np.asarray(keras.Model(network.inputs[0], layer.input)(images, training=False))
        axes = tuple(k for k in range(seen.ndim) if k != layer.axis % seen.ndim)
        found = seen.mean(axes, dtype=np.float64), seen.var(axes, dtype=np.float64)
        for variable, value in zip((layer.moving_mean, layer.moving_variance), found, strict=True):
            variable.assign((1 - share) * np.asarray(variable) + share * value)
