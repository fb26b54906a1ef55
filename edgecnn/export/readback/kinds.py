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

from typing import Any

from edgecnn.bundle.tflite_file import EDGETPU_OPERATION, is_compiled, read_graph
from edgecnn.errors import ArtifactError

__all__ = ["ONNX_WEIGHTED", "TFLITE_WEIGHTED", "read_kind", "read_onnx"]

_INTEGERS = frozenset({"int8", "uint8", "int16"})
TFLITE_WEIGHTED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
)
ONNX_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Runtimes compute these together with the weighted operation before them.
_ONNX_FUSED = frozenset({"Relu", "Clip"})
_ONNX_DYNAMIC = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})


def read_kind(data: bytes) -> str:
    """The kind of a .tflite or .onnx file, as listed at the top of this module.

    Raises:
        ArtifactError: Neither of the two.
    """
    return _tflite_kind(data) if data[4:8] == b"TFL3" else _onnx_kind(data)


def _tflite_kind(data: bytes) -> str:
    graph = read_graph(data)
    if is_compiled(graph):
        whole = all(op.name == EDGETPU_OPERATION for op in graph.operations)
        return "edgetpu" if whole else "edgetpu+cpu"
    weights: set[str] = set()
    inside: set[str] = set()
    for op in graph.operations:
        if op.name in TFLITE_WEIGHTED or op.name == "DEQUANTIZE":
            weights |= {t.dtype for t in op.inputs if t is not None and t.constant}
        if op.name not in {"QUANTIZE", "DEQUANTIZE"}:
            inside |= {t.dtype for t in op.tensors if not t.constant}
    return _kind(weights, inside, {t.dtype for t in (*graph.inputs, *graph.outputs)})


def read_onnx(data: bytes) -> Any:
    """The ModelProto of an .onnx file.

    Raises:
        ArtifactError: It is none.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ArtifactError("the file is neither TFLite nor ONNX; export it again") from error
    if not model.graph.node:
        raise ArtifactError("the file is neither TFLite nor ONNX; export it again")
    return model


def _onnx_kind(data: bytes) -> str:
    import onnx

    graph = read_onnx(data).graph
    if any(node.op_type in _ONNX_DYNAMIC for node in graph.node):
        return "dynamic_range"
    names = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}
    names[onnx.TensorProto.FLOAT] = "float32"
    stored = {t.name: names[t.data_type] for t in graph.initializer}
    ends = {names[v.type.tensor_type.elem_type] for v in (*graph.input, *graph.output)}
    weights, inside = _onnx_flow(graph, stored)
    return _kind(weights, inside, ends)


def _onnx_flow(graph: Any, stored: dict[str, str]) -> tuple[set[str], set[str]]:
    """(types that weights are kept in, types that flow between the operations)."""
    made_by = {name: node for node in graph.node for name in node.output}
    weights: set[str] = set()
    inside: set[str] = set()
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear", "Constant"}:
            continue
        for name in filter(None, node.input):
            maker = made_by.get(name)
            if maker is not None and maker.op_type == "DequantizeLinear":
                kept, source = stored[maker.input[2]], maker.input[0]
            elif maker is not None and maker.op_type == "Cast":
                kept, source = "float32", maker.input[0]
                kept = stored.get(source, kept)
            else:
                kept, source = stored.get(name, "float32"), name
            if source in stored:
                if node.op_type in ONNX_WEIGHTED:
                    weights.add(kept)
            elif not (_is_weighted(maker) and node.op_type in _ONNX_FUSED):
                inside.add(kept)
    return weights, inside


def _is_weighted(node: Any) -> bool:
    return node is not None and node.op_type in ONNX_WEIGHTED


def _kind(weights: set[str], inside: set[str], ends: set[str]) -> str:
    # Shapes and indices (int32, int64, bool) flow in every kind of model.
    inside = inside & (_INTEGERS | {"float32", "float16"})
    if inside <= {"float32"}:
        if weights & _INTEGERS:
            return "dynamic_range"
        return "float16" if "float16" in weights else "float32"
    if inside == {"int16"}:
        return "int16_activations"
    if inside <= {"int8", "uint8"}:
        return "full_integer" if ends <= _INTEGERS else "integer_float_io"
    return "hybrid/" + "+".join(sorted(inside))
