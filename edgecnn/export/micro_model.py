"""The full-integer model as TensorFlow Lite Micro wants it: int8 in and out, nothing to spare.

The network and its weights are those of the bundle's model_full_integer_quant.tflite, whatever was
done to that one: the conversions from and to uint8 at its ends are cut off, and so is the
metadata, which a microcontroller's flash needs not hold.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.export.flatbuffer import write_tflite
from edgecnn.tflite_file import Graph, Tensor, read_graph, read_tflite

__all__ = ["activation_bytes", "arena_bytes", "to_int8_io"]

_METADATA = b"TFLITE_METADATA"
# Of TFLite Micro on a 64-bit machine (a 32-bit one needs less): an evaluation tensor, a node, the
# tensors of input and output, an operation's parameters, a channel's multiplier and shift.
_TENSOR, _NODE, _ENDS, _OPERATION, _CHANNEL = 24, 64, 192, 112, 8
_KIB = 1024


def to_int8_io(data: bytes) -> bytes:
    """A full-integer .tflite with int8 input and output and without embedded metadata.

    Raises:
        ModelError: The model is not integer from end to end, or has control flow.
    """
    graph = read_graph(data)
    if graph.num_subgraphs != 1:
        raise ModelError(
            f"micro: the model has {graph.num_subgraphs} graphs, expected one without control "
            "flow; leave micro out of --formats, or change the network"
        )
    model = read_tflite(data)
    _cut_ends(model.subgraphs[0], graph)
    model.signatureDefs = []  # of ends that are gone; TFLite Micro reads none
    for entry in model.metadata or []:
        if bytes(entry.name) == _METADATA:
            model.buffers[entry.buffer].data = None
    model.metadata = [m for m in model.metadata or [] if bytes(m.name) != _METADATA]
    cut = write_tflite(model)
    ends = read_graph(cut)
    found = [t.dtype for t in (*ends.inputs, *ends.outputs)]
    if found != ["int8", "int8"]:
        raise ModelError(
            f"micro: the full-integer model takes and gives {', '.join(found)} inside, expected "
            "int8 on both sides; leave micro out of --formats, or change the network"
        )
    return cut


def activation_bytes(graph: Graph) -> int:
    """The most bytes of activations that live at the same time: no arena can be smaller."""
    last_step = len(graph.operations) - 1
    born = {t.index: 0 for t in graph.inputs}
    dies = {t.index: last_step for t in graph.outputs}
    tensors: dict[int, Tensor] = {t.index: t for t in (*graph.inputs, *graph.outputs)}
    for step, op in enumerate(graph.operations):
        for tensor in op.tensors:
            if not tensor.constant:
                tensors[tensor.index] = tensor
                born.setdefault(tensor.index, step)
                if tensor not in graph.outputs:
                    dies[tensor.index] = step
    sizes = {k: prod(t.shape) * np.dtype(t.dtype).itemsize for k, t in tensors.items()}
    return max(
        sum(size for k, size in sizes.items() if born[k] <= step <= dies.get(k, 0))
        for step in range(last_step + 1)
    )


def arena_bytes(graph: Graph) -> int:
    """An estimate of the tensor arena, rounded up to KiB with a tenth to spare.

    Activations at their peak, TFLite Micro's own records, and the channels' multipliers, with
    its reference kernels. Optimized kernels (CMSIS-NN) ask for scratch memory on top.
    """
    channels = sum(
        max((len(t.scales) for t in op.tensors if t.constant), default=0) for op in graph.operations
    )
    records = (
        _ENDS
        + _TENSOR * len(graph.tensors)
        + (_NODE + _OPERATION) * len(graph.operations)
        + _CHANNEL * channels
    )
    return -(-(activation_bytes(graph) + records) * 11 // (10 * _KIB)) * _KIB


def _cut_ends(stored: Any, graph: Graph) -> None:
    """Let the graph begin behind a QUANTIZE of its input, and end before one of its output."""
    source, target = graph.inputs[0], graph.outputs[0]
    readers = [op for op in graph.operations if source in op.inputs]
    makers = [op for op in graph.operations if target in op.outputs]
    cut = set()
    if len(readers) == 1 and readers[0].name == "QUANTIZE":
        stored.inputs = [readers[0].outputs[0].index]
        cut.add(readers[0].index)
    if len(makers) == 1 and makers[0].name == "QUANTIZE" and makers[0].index not in cut:
        before = makers[0].inputs[0]
        stored.outputs = [before.index if before is not None else target.index]
        cut.add(makers[0].index)
    stored.operators = [op for k, op in enumerate(stored.operators) if k not in cut]
