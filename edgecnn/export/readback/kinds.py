"""What an artifact is, read from the file itself: its name and the request prove nothing.

float32             float weights, float arithmetic
float16             float16 weights, float arithmetic
dynamic_range       integer weights, float in between; the calibration images play no part
full_integer        8-bit integers from input to output
int16_activations   8-bit weights, 16-bit integers in between, float or int16 in and out
integer_float_io    8-bit integers in between, float in or out
hybrid/A+B          both A and B flow between the operations
edgetpu             compiled for the Edge TPU as a whole
edgetpu+cpu         compiled for the Edge TPU, with operations that stay on the CPU
"""

from __future__ import annotations

from collections import defaultdict

from edgecnn.bundle.tflite_file import EDGETPU_OPERATION, Graph, Operation, Tensor, is_compiled
from edgecnn.export.readback.onnx_graph import read_any_graph

__all__ = [
    "CONVERSIONS",
    "ONNX_WEIGHTED",
    "fused_tensors",
    "kind_of",
    "read_kind",
    "stored_weights",
]

CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear"})
ONNX_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_TFLITE_WEIGHTED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
)
# Runtimes compute these together with the weighted operation before them.
_ONNX_FUSED = frozenset({"Relu", "Clip"})
_ONNX_DYNAMIC = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})
_INTEGERS = frozenset({"int8", "uint8", "int16"})


def read_kind(data: bytes) -> str:
    """The kind of a .tflite or .onnx file, as listed at the top of this module.

    Raises:
        ArtifactError: Neither of the two.
    """
    return kind_of(read_any_graph(data))


def kind_of(graph: Graph) -> str:
    """The kind of a file that was read before."""
    if is_compiled(graph):
        whole = all(op.name == EDGETPU_OPERATION for op in graph.operations)
        return "edgetpu" if whole else "edgetpu+cpu"
    if any(op.name in _ONNX_DYNAMIC for op in graph.operations):
        return "dynamic_range"
    fused = fused_tensors(graph)
    # Shapes and indices (int32, int64, bool) flow in every kind of model.
    inside = {
        t.dtype
        for op in graph.operations
        for t in op.inputs
        if op.name not in CONVERSIONS and t is not None and not t.constant
        if t.index not in fused and t.dtype in _INTEGERS | {"float32", "float16"}
    }
    if inside <= {"float32"}:
        weights = {kept.dtype for _, kept in stored_weights(graph)}
        if weights & _INTEGERS:
            return "dynamic_range"
        return "float16" if "float16" in weights else "float32"
    if inside == {"int16"}:
        return "int16_activations"
    if inside <= {"int8", "uint8"}:
        ends = {t.dtype for t in (*graph.inputs, *graph.outputs)}
        return "full_integer" if ends <= _INTEGERS else "integer_float_io"
    return "hybrid/" + "+".join(sorted(inside))


def stored_weights(graph: Graph) -> list[tuple[Operation, Tensor]]:
    """Of each weighted operation; a float16 .tflite keeps them behind a DEQUANTIZE."""
    behind = {
        op.outputs[0].index: op.inputs[0]
        for op in graph.operations
        if op.name == "DEQUANTIZE" and op.inputs[0] is not None and op.inputs[0].constant
    }
    found = []
    for op in graph.operations:
        if op.name in _TFLITE_WEIGHTED | ONNX_WEIGHTED:
            for tensor in op.inputs[:2]:  # third is the bias
                kept = tensor and behind.get(tensor.index, tensor)
                if kept is not None and kept.constant and len(kept.shape) >= 2:
                    found.append((op, kept))
    return found


def fused_tensors(graph: Graph) -> set[int]:
    """Indices of tensors that no runtime keeps: between a convolution and its Relu or Clip."""
    readers = defaultdict(set)
    for op in graph.operations:
        for tensor in op.inputs:
            if tensor is not None:
                readers[tensor.index].add(op.name)
    made = (t.index for op in graph.operations if op.name in ONNX_WEIGHTED for t in op.outputs)
    return {index for index in made if readers[index] and readers[index] <= _ONNX_FUSED}
