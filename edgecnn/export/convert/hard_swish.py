"""Hard-swish in operations that have 16-bit kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["split_hard_swish"]


def split_hard_swish(frozen: Any) -> Any:
    """The same function, in which the TFLite converter finds no hard-swish to fuse.

    x * relu6(x + 3) / 6 becomes one HARD_SWISH operation, which the converter then refuses to
    bring to 16-bit activations. Its pattern asks for a 3 exactly; the next larger float32 leaves
    ADD, RELU6 and MUL, which have 16-bit kernels, and changes the result by less than 1e-6.

    Args:
        frozen: A concrete function of `tflite.freeze`.

    Returns:
        `frozen` itself when there is nothing to split.
    """
    import tensorflow as tf

    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    sums = [nodes.get(node.input[0]) for node in graph.node if node.op == "Relu6"]
    changed = False
    for node in sums:
        if node is None or node.op not in ("Add", "AddV2"):
            continue
        for constant in (nodes[name] for name in node.input if nodes[name].op == "Const"):
            value = tf.make_ndarray(constant.attr["value"].tensor)
            if value.size == 1 and value.dtype == np.float32 and value.item() == 3.0:
                larger = np.nextafter(np.float32(3), np.float32(4)).reshape(value.shape)
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(larger))
                changed = True
    if not changed:
        return frozen
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    return wrapped.prune([t.name for t in frozen.inputs], [t.name for t in frozen.outputs])
