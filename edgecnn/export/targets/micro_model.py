"""The full-integer model as TensorFlow Lite Micro wants it: int8 in and out, nothing to spare.

The network and its weights are those of the bundle's model_full_integer_quant.tflite, whatever was
done to that one: the conversions from and to uint8 at its ends are cut off, and so is the
metadata, which a microcontroller's flash needs not hold.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from edgecnn.bundle.tflite_file import Graph, Tensor, read_graph, read_tflite
from edgecnn.errors import ModelError
from edgecnn.export.packing.flatbuffer import write_tflite

__all__ = ["arena_bytes", "planned_bytes", "to_int8_io"]

_METADATA = b"TFLITE_METADATA"
# Bytes that TFLite Micro keeps for itself on a 64-bit machine (a 32-bit one needs less), measured:
# the allocator with the two ends, an evaluation tensor, a node with its parameters, and a channel's
# multiplier and shift.
_ALLOCATOR, _TENSOR, _NODE, _CHANNEL = 1024, 24, 176, 8
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


def planned_bytes(graph: Graph) -> int:
    """What the activations take when each gets the lowest gap that it fits in for its life.

    The largest first, as TFLite Micro's GreedyMemoryPlanner does it, in multiples of 16 bytes.
    """
    placed: list[tuple[int, int, range]] = []
    for size, life in sorted(_activations(graph), key=lambda entry: -entry[0]):
        start = 0
        for other_start, other_size, other_life in sorted(placed, key=lambda entry: entry[0]):
            if life.start < other_life.stop and other_life.start < life.stop:
                if other_start - start >= size:
                    break
                start = max(start, other_start + other_size)
        placed.append((start, size, life))
    return max(start + size for start, size, _ in placed)


def arena_bytes(graph: Graph) -> int:
    """An estimate of the tensor arena, in whole KiB.

    The planned activations, TFLite Micro's own records and the channels' multipliers, with its
    reference kernels. Optimized kernels (CMSIS-NN) ask for scratch memory on top.
    """
    channels = sum(
        max((len(t.scales) for t in op.tensors if t.constant), default=0) for op in graph.operations
    )
    records = (
        _ALLOCATOR
        + _TENSOR * len(graph.tensors)
        + _NODE * len(graph.operations)
        + _CHANNEL * channels
    )
    return -(-(planned_bytes(graph) + records) // _KIB) * _KIB


def _activations(graph: Graph) -> list[tuple[int, range]]:
    """(bytes, the steps in which it lives) of the input, the output and all in between."""
    end = len(graph.operations) + 1
    tensors: dict[int, Tensor] = {t.index: t for t in (*graph.inputs, *graph.outputs)}
    first = {t.index: 0 for t in graph.inputs}
    last: dict[int, int] = {}
    for step, op in enumerate(graph.operations, start=1):
        for tensor in op.tensors:
            if not tensor.constant:
                tensors[tensor.index] = tensor
                first.setdefault(tensor.index, step)
                last[tensor.index] = step
    last |= {t.index: end for t in graph.outputs}
    return [
        (_aligned(tensor), range(first.get(k, end), last.get(k, 0) + 1))
        for k, tensor in tensors.items()
    ]


def _aligned(tensor: Tensor) -> int:
    return -(-prod(tensor.shape) * np.dtype(tensor.dtype).itemsize // 16) * 16


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
