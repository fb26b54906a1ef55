"""Batch norm folded into the layer before it: the network as the converters will make it.

Repairs of the weights work on this plain network: its kernels are the ones that are quantized.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.model.networks.adopt import activation_of, give_weights

__all__ = ["WEIGHTED", "channel_kernel", "consumers", "fold", "pooled"]

# Layers with a kernel that is quantized; SeparableConv2D hides two of them and is left alone.
WEIGHTED = ("Conv2D", "DepthwiseConv2D", "Dense")


def fold(network: Any) -> Any:
    """A copy with each batch norm that follows a convolution or dense layer folded into it.

    Args:
        network: Functional or Sequential, of built-in layers or registered ones.

    Returns:
        A functional model of the same function; the folded batch norms are linear activations.

    Raises:
        ModelError: The network can't be copied layer by layer.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    pairs = dict(_foldable(network))
    folded = _copy_network(network, set(pairs), set(pairs.values()))
    for layer in network.layers:
        if layer.name in pairs:
            weights = _fold_pair(layer, network.get_layer(pairs[layer.name]))
            folded.get_layer(layer.name).set_weights(weights)
        elif layer.name not in pairs.values() and layer.get_weights():
            give_weights(folded.get_layer(layer.name), layer.get_weights())
    return folded


def _copy_network(network: Any, bias: Collection[str], linear: Collection[str]) -> Any:
    """A functional model of new layers with the same names.

    `bias` names those that get a bias, `linear` those that become a linear activation.

    Raises:
        ModelError: A layer can't be made from its configuration, or the model is subclassed.
    """
    import keras

    def clone(layer: Any) -> Any:
        if layer.name in linear:
            return keras.layers.Activation("linear", name=layer.name)
        config = layer.get_config()
        if layer.name in bias:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        # A batch norm's node may hold a mask, which its replacement does not take.
        return layer(args[0]) if layer.name in linear else layer(*args, **kwargs)

    try:
        if isinstance(network, keras.Sequential):
            network = keras.Model(network.inputs, network.outputs, name=network.name)
        return keras.models.clone_model(network, clone_function=clone, call_function=call)
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"the network can't be copied layer by layer ({' '.join(str(error).split())[:150]}); "
            "expected built-in layers or registered ones with get_config"
        ) from error


def consumers(network: Any, layer: Any) -> Sequence[Any]:
    """The layers that take this layer's output; empty also when it is the network's output."""
    import keras

    output = layer.output
    if any(output is tensor for tensor in network.outputs):
        return []
    return [
        other
        for other in network.layers
        if any(output is tensor for tensor in keras.tree.flatten(getattr(other, "input", None)))
    ]


def channel_kernel(layer: Any) -> np.ndarray:
    """The kernel with its output channels on the last axis: float32 (..., channels)."""
    kernel = layer.get_weights()[0]
    if type(layer).__name__ == "DepthwiseConv2D":
        return np.asarray(kernel.reshape(*kernel.shape[:2], -1))
    return np.asarray(kernel)


def pooled(
    network: Any, tensors: dict[str, Any], images: np.ndarray, how: str
) -> dict[str, np.ndarray]:
    """Each tensor's channels, float32 (n, channels), over uint8 images (n, height, width, 3).

    `how` is the Keras layer that pools those with pixels, as GlobalMaxPooling2D.
    """
    import keras

    # Named layers, since a loaded network may hold operations with the names that keras.ops gives.
    pooling = getattr(keras.layers, how)
    outputs = [
        (pooling if len(tensor.shape) > 2 else keras.layers.Identity)(name=f"{name}_pooled")(tensor)
        for name, tensor in tensors.items()
    ]
    model = keras.Model(network.inputs, outputs)
    batches = [
        model.predict_on_batch(images[k : k + 64].astype(np.float32))
        for k in range(0, len(images), 64)
    ]
    listed = [batch if isinstance(batch, list) else [batch] for batch in batches]
    found = (np.concatenate(parts) for parts in zip(*listed, strict=True))
    return dict(zip(tensors, found, strict=True))


def _foldable(network: Any) -> list[tuple[str, str]]:
    """(convolution or dense layer, the batch norm that alone follows it)."""
    pairs = []
    for layer in network.layers:
        if type(layer).__name__ not in WEIGHTED or activation_of(layer) != "linear":
            continue
        after = consumers(network, layer)
        if len(after) == 1 and type(after[0]).__name__ == "BatchNormalization":
            norm = after[0]
            if norm.axis in (-1, len(layer.output.shape) - 1):
                pairs.append((layer.name, norm.name))
    return pairs


def _fold_pair(layer: Any, norm: Any) -> list[np.ndarray]:
    """[kernel, bias] of the two layers in one."""
    kernel = layer.get_weights()[0]
    bias = layer.get_weights()[1] if layer.use_bias else 0.0
    mean, variance = (np.asarray(v.numpy()) for v in (norm.moving_mean, norm.moving_variance))
    gain = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * norm.gamma.numpy()
    shift = norm.beta.numpy() if norm.center else 0.0
    scaled = channel_kernel(layer) * gain
    return [scaled.reshape(kernel.shape), np.asarray((bias - mean) * gain + shift)]
