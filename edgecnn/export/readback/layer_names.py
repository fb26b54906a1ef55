"""From the names of tensors to the Keras layers that they come from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = ["layer_names", "weighted_layers"]

# Converters fuse these into the operation with the weights before them; the tensor then names
# all of them, and the one with the weights tells most.
_FUSED = re.compile(r"(batch_?norm|re_?lu|activation|rescaling|dropout|flatten|identity)", re.I)


def weighted_layers(network: Any) -> set[str]:
    """Names of a Keras model's layers with kernels, by the names of their classes."""
    return {k.name for k in network.layers if re.search("Conv|Dense", type(k).__name__)}


def layer_names(
    tensors: Mapping[str, str], layers: Sequence[str], weighted: Collection[str] | None = None
) -> dict[str, str]:
    """Keras layer of each tensor, as TensorFlow's name scopes tell it.

    TensorFlow makes scopes unique by a number at the end, so `conv2d_1` may be the layer of that
    name or the layer `conv2d`: a scope goes to the first layer in order that has none yet.

    Args:
        tensors: In the order of the operations; for each its full name, scopes and all.
        layers: Keras layer names in the order of the model.
        weighted: Those with kernels, for which fused operations are named; None: those that do
            not sound like batch norm, ReLU and the like.

    Returns:
        By tensor: the layer, or the tensor's own name where no layer is found in it.

    Example:
        >>> tensors = {"a": "net/relu_1/Relu;net/conv_1/Conv", "b": "net/conv_1_1/Conv"}
        >>> layer_names({**tensors, "c": "Softmax"}, ["conv", "relu", "conv_1"])
        {'a': 'conv', 'b': 'conv_1', 'c': 'c'}
    """
    owner: dict[str, str] = {}
    found = {}
    for tensor, origin in tensors.items():
        known = [
            layer
            for scope in _scopes(origin)
            if (layer := _layer_of(scope, layers, owner)) is not None
        ]
        if weighted is None:
            telling = [layer for layer in known if not _FUSED.search(layer)]
        else:
            telling = [layer for layer in known if layer in weighted]
        found[tensor] = (telling or known or [tensor])[0]
    return found


def _scopes(origin: str) -> list[str]:
    """Parts of "model/layer/operation;model/layer/operation", without the model's own name."""
    paths = [path.split("/") for path in origin.split(";")]
    return [scope for path in paths for scope in (path[1:] if len(path) > 1 else path)]


def _layer_of(scope: str, layers: Sequence[str], owner: dict[str, str]) -> str | None:
    if scope not in owner:
        taken = set(owner.values())
        fits = [k for k in layers if scope == k or re.fullmatch(re.escape(k) + r"_\d+", scope)]
        free = [k for k in fits if k not in taken]
        if not free:
            return None
        owner[scope] = free[0]
    return owner[scope]
