"""Batch norm behind the convolutions of an ONNX graph, folded into their weights.

tf2onnx folds it into ordinary convolutions only. Behind a depthwise one it leaves a multiplication
and an addition, and an integer model rounds the result of each once more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["fold_scales", "reconnect"]


def fold_scales(model: Any) -> None:
    """Fold each Mul and Add by one constant a channel into the Conv before it, in place.

    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    from onnx import numpy_helper

    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    ends = {value.name for value in graph.output}

    def constant(node: Any, channels: int) -> np.ndarray | None:
        """What a Mul or Add has for each channel of its other input."""
        for name in node.input:
            if name in stored and list(stored[name].dims)[-3:] == [channels, 1, 1]:
                return np.asarray(numpy_helper.to_array(stored[name])).reshape(-1)
        return None

    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        if any(name not in stored for name in conv.input[1:]):
            continue
        weights, *bias = (numpy_helper.to_array(stored[name]) for name in conv.input[1:])
        shift = bias[0] if bias else np.zeros(len(weights), weights.dtype)
        last, folded = conv, []
        while last.output[0] not in ends and len(users[last.output[0]]) == 1:
            node = users[last.output[0]][0]
            value = constant(node, len(weights)) if node.op_type in ("Mul", "Add") else None
            if value is None:
                break
            if node.op_type == "Mul":
                weights, shift = weights * value.reshape(-1, 1, 1, 1), shift * value
            else:
                shift = shift + value
            folded.append(node)
            last = node
        if folded:
            _replace(graph, conv, folded, users, (weights, shift))
    _drop_unused(graph)


def _replace(
    graph: Any,
    conv: Any,
    folded: list[Any],
    users: dict[str, list[Any]],
    parameters: tuple[np.ndarray, np.ndarray],
) -> None:
    """Give the convolution its own new parameters, and its result to whom the last one's went."""
    from onnx import numpy_helper

    source = conv.input[0]
    del conv.input[:]
    conv.input.append(source)
    for value, what in zip(parameters, ("weights", "bias"), strict=True):
        name = f"{conv.output[0]}/{what}"
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
        conv.input.append(name)
    for node in folded:
        graph.node.remove(node)
    reconnect(users[folded[-1].output[0]], {folded[-1].output[0]: conv.output[0]})
    users[conv.output[0]] = users[folded[-1].output[0]]


def reconnect(nodes: Iterable[Any], names: Mapping[str, str]) -> None:
    """Let these nodes read other tensors: by the old name, the new one."""
    for node in nodes:
        for k, name in enumerate(node.input):
            node.input[k] = names.get(name, name)


def _drop_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
