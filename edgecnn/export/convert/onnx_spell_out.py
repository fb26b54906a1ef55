"""Operations that TensorFlow has and ONNX has not, in others that ONNX has."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["spell_out"]

_ONE = "spelled_out_one"


def spell_out(model: Any) -> None:
    """Replace Erfc, of the exact GELU, by 1 - Erf in an ONNX model, in place."""
    from onnx import helper, numpy_helper

    graph = model.graph
    found = [node for node in graph.node if node.op_type == "Erfc"]
    if not found:
        return
    graph.initializer.append(numpy_helper.from_array(np.float32(1), _ONE))
    for node in found:
        source, target = node.input[0], node.output[0]
        inner = f"{target}/erf"
        place = list(graph.node).index(node)
        graph.node.remove(node)
        graph.node.insert(place, helper.make_node("Sub", [_ONE, inner], [target]))
        graph.node.insert(place, helper.make_node("Erf", [source], [inner]))
