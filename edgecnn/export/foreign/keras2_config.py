"""Rewrite the configuration of a model of Keras 2 so that Keras 3 reads it; weights stay.

What differs where a network holds another network (every transfer-learning tutorial):

ends       Keras 2 writes `input_layers` and `output_layers` of one entry as a list of lists; Keras
           3 then takes the network's answer for a list of one tensor.
nodes      Keras 2 counts a nested network's own graph as its first call, so the calls that other
           layers refer to are one too high.
arguments  Layers carry arguments that they never use, such as `groups` or `rng_type`.
modules    A .keras file says in which module each class lies; those of networks have moved. In
           a .h5 file Keras 3 looks classes up by their name alone, but not within a wrapper.
policies   Keras 2 spells mixed precision out; its name is enough.
operations `x / 127.5 - 1` on a tensor is two layers TFOpLambda, which are one Rescaling each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

__all__ = ["translate"]

_NETWORKS = frozenset({"Functional", "Model", "Sequential"})
# Keras 2 writes these for layers that never use them; Keras 3 refuses them there.
_UNUSED = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": (
        *("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    ),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), ("time_major",)),
    "SpatialDropout1D": ("noise_shape", "trainable"),
    "SpatialDropout2D": ("noise_shape", "trainable"),
}
_NEVER_USED = ("rng_type", "force_generator", "ragged", "sparse_inputs")
_RANDOM = "Random"
# Where Keras 3 would look for a class by a path that its layers no longer have.
_ADDRESS = ("module", "registered_name", "build_config")
# Where Keras 3 has the networks.
_HOMES: dict[str, dict[str, Any]] = {
    "Sequential": {"module": "keras", "registered_name": None},
    "Functional": {"module": "keras.src.models.functional", "registered_name": None},
    "Model": {
        "class_name": "Functional",
        "module": "keras.src.models.functional",
        "registered_name": None,
    },
}


# In these a layer lies within a layer.
_INNER = ("layer", "backward_layer")
# What an operation with a constant c makes of x, as (scale, offset) of a Rescaling.
_OPERATIONS: dict[str, Callable[[float], tuple[float, float]]] = {
    "math.truediv": lambda c: (1 / c, 0.0),
    "math.divide": lambda c: (1 / c, 0.0),
    "math.multiply": lambda c: (c, 0.0),
    "math.subtract": lambda c: (1.0, -c),
    "math.add": lambda c: (1.0, c),
    "__operators__.add": lambda c: (1.0, c),
}


def translate(node: Any, *, packed: bool = False) -> Any:
    """The same configuration as Keras 3 writes it.

    Args:
        packed: It is that of a .keras file; else of a .h5 file.
    """
    if isinstance(node, list):
        return [translate(entry, packed=packed) for entry in node]
    if not isinstance(node, dict):
        return node
    node = {key: translate(value, packed=packed) for key, value in node.items()}
    name, config = node.get("class_name"), node.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        return node
    if name == "Policy":
        return config["name"]
    if name == "TFOpLambda":
        return _as_rescaling(node, config)
    if packed and name in _HOMES:
        node = {key: value for key, value in node.items() if key not in _ADDRESS} | _HOMES[name]
    elif not packed and "keras" in str(node.get("module")):
        node = {key: value for key, value in node.items() if key not in _ADDRESS}
    config = {key: value for key, value in config.items() if key not in _UNUSED.get(name, ())}
    if name.startswith(_RANDOM):
        config = {key: value for key, value in config.items() if key not in _NEVER_USED}
    if packed and name != "InputLayer":  # Flatten(input_shape=...) has an InputLayer before it
        config.pop("batch_input_shape", None)
    if name == "BatchNormalization" and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0]  # [3] for 3
    for key in _INNER:
        if isinstance(config.get(key), dict):
            home = _HOMES.get(config[key]["class_name"], {"module": "keras.layers"})
            config[key] = {"registered_name": None} | config[key] | home
    if name in _NETWORKS and "layers" in config:
        config = _network(config)
    return {**node, "config": config}


def _as_rescaling(node: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """An operation of one tensor and one number as a Rescaling; any other as it is."""
    calls = node.get("inbound_nodes") or []
    operation = _OPERATIONS.get(str(config.get("function")))
    if operation is None or len(calls) != 1 or len(calls[0]) != 4:
        return node
    *source, given = calls[0]
    constant = given.get("y")
    if not isinstance(constant, (int, float)) or set(given) - {"y", "name"}:
        return node
    scale, offset = operation(float(constant))
    own = {"name": config["name"], "dtype": "float32", "scale": scale, "offset": offset}
    return {
        "module": "keras.layers",
        "class_name": "Rescaling",
        "config": own,
        "registered_name": None,
        "name": node.get("name", config["name"]),
        "inbound_nodes": [[[*source, {}]]],
    }


def _network(config: dict[str, Any]) -> dict[str, Any]:
    """A network's own configuration, its layers translated already."""
    inner = {_name(layer) for layer in config["layers"] if layer.get("class_name") in _NETWORKS}
    layers = [
        {**layer, "inbound_nodes": _shifted(layer["inbound_nodes"], inner)}
        if layer.get("inbound_nodes")
        else layer
        for layer in config["layers"]
    ]
    ends: dict[str, Any] = {
        end: _one(_shifted(config[end], inner))
        for end in ("input_layers", "output_layers")
        if end in config
    }
    return config | {"layers": layers} | ends


def _name(layer: dict[str, Any]) -> str:
    return str(layer.get("name") or layer["config"].get("name"))


def _one(ends: Any) -> Any:
    """The only entry of a list of one: ["dense", 0, 0] for [["dense", 0, 0]]."""
    single = isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list)
    return ends[0] if single else ends


def _shifted(value: Any, inner: Collection[str]) -> Any:
    """References [name, call, output, ...] to nested networks, with their calls counted from 0."""
    if isinstance(value, dict):
        return {key: _shifted(entry, inner) for key, entry in value.items()}
    if not isinstance(value, list):
        return value
    refers = len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int)
    if refers and value[0] in inner:
        return [value[0], max(0, value[1] - 1), *(_shifted(v, inner) for v in value[2:])]
    return [_shifted(entry, inner) for entry in value]
