"""From the names of tensors to the Keras layers that they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["layer_names"]


def layer_names(tensors: Mapping[str, str], network: Any) -> dict[str, str]:
    """Keras layer of each tensor, as TensorFlow's name scopes tell it.

    Converters fuse batch norm and ReLU into the operation before them; of the layers that a tensor
    then names, the one with a kernel tells most.

    TensorFlow makes scopes unique by a number at the end, so `conv2d_1` may be the layer of that
    name or the layer `conv2d`: a scope goes to the first layer in order that has none yet.

    Args:
        tensors: In the order of the operations; for each its full name, scopes and all.
        network: The Keras model; None knows no layers.

    Returns:
        By tensor: the layer, or the tensor's own name where no layer is found in it.
    """
    layers = {} if network is None else {k.name: type(k).__name__ for k in network.layers}
    owner: dict[str, str] = {}
    found = {}
    for tensor, origin in tensors.items():
        known = [
            layer
            for scope in _scopes(origin)
            if (layer := _layer_of(scope, layers, owner)) is not None
        ]
        telling = [layer for layer in known if re.search("Conv|Dense", layers[layer])]
        found[tensor] = (telling or known or [tensor])[0]
    return found


def _scopes(origin: str) -> list[str]:
    """Parts of "model/layer/operation;model/layer/operation", without the model's own name."""
    paths = [path.split("/") for path in origin.split(";")]
    return [scope for path in paths for scope in (path[1:] if len(path) > 1 else path)]


def _layer_of(scope: str, layers: Iterable[str], owner: dict[str, str]) -> str | None:
    if scope not in owner:
        taken = set(owner.values())
        fits = [k for k in layers if scope == k or re.fullmatch(re.escape(k) + r"_\d+", scope)]
        free = [k for k in fits if k not in taken]
        if not free:
            return None
        owner[scope] = free[0]
    return owner[scope]
