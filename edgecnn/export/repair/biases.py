"""Bias correction: biases that make up for the mean error of rounded weights.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", arXiv:1906.04721.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecnn.export.repair.fold import WEIGHTED, channel_kernel, pooled

__all__ = ["correct_biases", "rounded_kernel"]


def correct_biases(network: Any, images: np.ndarray, per_channel: bool = True) -> int:
    """Correct the biases for the mean error that rounding the weights causes.

    A rounded kernel W + e shifts a layer's mean output by e * E[x]; E[x] is measured on `images`.

    Args:
        network: What `fold.fold` gives; changed in place.
        images: uint8, shape (n, height, width, 3) RGB, unlabelled.
        per_channel: As the kernels will be quantized.

    Returns:
        How many layers were corrected.
    """
    layers = [k for k in network.layers if type(k).__name__ in WEIGHTED and k.use_bias]
    if not layers:
        return 0
    inputs = {layer.name: layer.input for layer in layers}
    found = pooled(network, inputs, images, "GlobalAveragePooling2D")
    for layer in layers:
        mean = found[layer.name].mean(axis=0)
        kernel, bias = layer.get_weights()
        error = rounded_kernel(layer, per_channel) - kernel
        if type(layer).__name__ == "DepthwiseConv2D":
            shift = (error.sum(axis=(0, 1)) * mean[:, None]).ravel()
        else:
            shift = mean @ error.reshape(-1, *error.shape[-2:]).sum(axis=0)
        layer.set_weights([kernel, bias - shift])
    return len(layers)


def rounded_kernel(layer: Any, per_channel: bool) -> np.ndarray:
    """The kernel after 8-bit symmetric quantization; dense layers have one scale always."""
    kernel = layer.get_weights()[0]
    values = channel_kernel(layer)
    if per_channel and type(layer).__name__ != "Dense":
        largest = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
    else:
        largest = np.abs(values).max()
    step = np.maximum(largest, 1e-30) / 127
    return np.asarray((np.rint(values / step) * step).reshape(kernel.shape))
