"""Cross-layer equalization and bias correction: other weights, the same float function.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", arXiv:1906.04721.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgecnn.export.repair.fold import WEIGHTED, channel_kernel, consumers, pooled
from edgecnn.model.networks.adopt import activation_of

__all__ = ["correct_biases", "equalize", "rounded_kernel"]

# What scaling a channel passes through unchanged, and activations for which f(s x) = s f(x).
_PASSING = frozenset({
    "AveragePooling2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
    "MaxPooling2D", "SpatialDropout2D", "ZeroPadding2D",
})  # fmt: skip
_ROUNDS = 10
_MARGIN = 1.1  # a channel that comes this near to ReLU6's 6 on the images is left as it is
_MOST = 1e6  # of a scale: weights of zero ask for infinity


def equalize(network: Any, images: np.ndarray) -> int:
    """Scale the channels between two layers so that both sides' weights have equal ranges.

    ReLU lets a channel's scale through. ReLU6 does so only for channels that stay below 6: a
    channel is scaled as far as its largest value on `images` allows, one that reaches 6 is not.

    Args:
        network: What `fold.fold` gives; changed in place.
        images: uint8, shape (n, height, width, 3) RGB, unlabelled.

    Returns:
        How many pairs of layers were equalized.
    """
    pairs = _pairs(network)
    if not pairs:
        return 0
    ceilings = _room_below_the_clip(network, [p for p in pairs if np.isfinite(p[2])], images)
    for _ in range(_ROUNDS):
        largest = 1.0
        for first, second, _ in pairs:
            scale = _scale(first, second)
            room = ceilings.get(first.name)
            if room is not None:
                scale = np.where(room > 1, np.minimum(scale, room), 1.0)
                ceilings[first.name] = np.where(room > 1, room / scale, room)
            _apply(first, second, scale)
            largest = max(largest, float(np.abs(np.log(scale)).max()) + 1)
        if largest < 1.01:
            break
    return len(pairs)


def _pairs(network: Any) -> list[tuple[Any, Any, float]]:
    """(layer, the next layer with weights, where the activation between them clips)."""
    pairs = []
    for first in network.layers:
        if type(first).__name__ not in WEIGHTED or not first.use_bias:
            continue
        clip = _clip(first)
        current = first
        while clip is not None:
            after = consumers(network, current)
            if len(after) != 1:
                break
            current = after[0]
            if type(current).__name__ in WEIGHTED:
                if _fits(first, current):
                    pairs.append((first, current, clip))
                break
            clip = _through(current, clip)
    return pairs


def _clip(layer: Any) -> float | None:
    """Where the layer's own activation clips; None: it is no ReLU."""
    return {"linear": np.inf, "relu": np.inf, "relu6": 6.0}.get(activation_of(layer))


def _through(layer: Any, clip: float) -> float | None:
    kind = type(layer).__name__
    if kind in _PASSING:
        return clip
    if kind == "Activation":
        own = _clip(layer)
        return None if own is None else min(clip, own)
    if kind == "ReLU" and not layer.negative_slope and not layer.threshold:
        return clip if layer.max_value is None else min(clip, float(layer.max_value))
    return None


def _fits(first: Any, second: Any) -> bool:
    """The second layer's inputs are the first one's channels (flattened: many times over)."""
    channels = channel_kernel(first).shape[-1]
    inputs = second.get_weights()[0].shape[-2]
    return bool(inputs == channels or (type(second).__name__ == "Dense" and inputs % channels == 0))


def _scale(first: Any, second: Any) -> np.ndarray:
    """By channel: what to multiply the first layer by, and the second's inputs divide by."""
    outgoing = channel_kernel(first)
    left = np.abs(outgoing).reshape(-1, outgoing.shape[-1]).max(axis=0)
    right = np.abs(_by_input(second, len(left))).max(axis=(0, 2))
    usable = (left > 0) & (right > 0)
    scale = np.sqrt(np.where(usable, right, 1) / np.where(usable, left, 1))
    return np.asarray(np.clip(scale, 1 / _MOST, _MOST))


def _by_input(layer: Any, channels: int) -> np.ndarray:
    """The kernel as (positions, input channels, outputs)."""
    kernel = layer.get_weights()[0]
    return np.asarray(kernel.reshape(-1, channels, kernel.shape[-1]))


def _apply(first: Any, second: Any, scale: np.ndarray) -> None:
    kernel, bias = first.get_weights()
    first.set_weights([(channel_kernel(first) * scale).reshape(kernel.shape), bias * scale])
    weights = second.get_weights()
    divided = _by_input(second, len(scale)) / scale[:, None]
    second.set_weights([divided.reshape(weights[0].shape), *weights[1:]])


def _room_below_the_clip(
    network: Any, pairs: list[tuple[Any, Any, float]], images: np.ndarray
) -> dict[str, np.ndarray]:
    """By layer: how far each channel may be scaled up before it would be clipped."""
    if not pairs:
        return {}
    # Before the activation: of a clipped value only the clip would be seen.
    peaks = {first.name: first.output for first, _, _ in pairs}
    found = pooled(network, peaks, images, "GlobalMaxPooling2D")
    room = {}
    for first, _, clip in pairs:
        largest = np.maximum(found[first.name].max(axis=0), 1e-6) * _MARGIN
        room[first.name] = np.minimum(clip / largest, _MOST)
    return room


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
