"""The float model without its last layer, and that layer, so that a board can adapt it."""

from __future__ import annotations

import numpy as np

from edgecnn.bundle.head import EMBEDDING_FILE, HEAD_FILE, Head
from edgecnn.bundle.tflite_file import Graph, Operation, Tensor, read_graph
from edgecnn.export.packing.flatbuffer import read_tflite, write_tflite

__all__ = ["cut_embedding", "head_files"]

_RUNTIME_VERSION = b"min_runtime_version"


def head_files(data: bytes) -> dict[str, bytes]:
    """`model_embedding_float32.tflite` and `head.npz` by name.

    The first is cut out of the float32 file, so that its kernels and numbers are the same. Empty
    when the model does not end in a dense layer with bias and a softmax.

    Args:
        data: The float32 .tflite file.
    """
    graph = read_graph(data)
    dense = _last_dense(graph)
    if dense is None:
        return {}
    embedding, weights, bias = dense.inputs[:3]
    if embedding is None or weights is None or bias is None or len(embedding.shape) != 2:
        return {}
    if not all(one.data and one.dtype == "float32" for one in (weights, bias)):
        return {}
    head = Head(_floats(weights).reshape(weights.shape).T.copy(), _floats(bias))
    return {EMBEDDING_FILE: _cut(data, dense, embedding), HEAD_FILE: head.to_bytes()}


def cut_embedding(data: bytes) -> bytes | None:
    """A float or integer .tflite file without its last layer; None where it ends otherwise."""
    dense = _last_dense(read_graph(data))
    embedding = dense.inputs[0] if dense else None
    if dense is None or embedding is None or len(embedding.shape) != 2:
        return None
    return _cut(data, dense, embedding)


def _last_dense(graph: Graph) -> Operation | None:
    """The dense layer whose output the softmax at the end takes."""
    makers = {op.outputs[0].index: op for op in graph.operations if op.outputs}
    softmax = makers.get(graph.outputs[0].index)
    if softmax is not None and softmax.name in ("QUANTIZE", "DEQUANTIZE") and softmax.inputs[0]:
        softmax = makers.get(softmax.inputs[0].index)  # the other casts what it gives
    if softmax is None or softmax.name != "SOFTMAX" or softmax.inputs[0] is None:
        return None
    dense = makers.get(softmax.inputs[0].index)
    fits = dense is not None and dense.name == "FULLY_CONNECTED" and len(dense.inputs) > 2
    return dense if fits else None


def _cut(data: bytes, dense: Operation, embedding: Tensor) -> bytes:
    """The file without the operations from `dense` on; its output is the embedding."""
    model = read_tflite(data)
    graph = model.subgraphs[0]
    graph.operators = graph.operators[: dense.index]
    graph.outputs = np.array([embedding.index], np.int32)
    for signature in model.signatureDefs or []:
        for output in signature.outputs:
            output.tensorIndex = embedding.index
    # The labels are of a classifier's output.
    model.metadata = [one for one in model.metadata or [] if one.name == _RUNTIME_VERSION]
    return write_tflite(model)


def _floats(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data or b"", np.float32)
