"""What an artifact is, read from the file itself: its name and the request prove nothing.

float32             float weights, float arithmetic
float16             float16 weights, float arithmetic
dynamic_range       integer weights, float in between; the calibration images play no part
full_integer        integers from input to output
int16_activations   8-bit weights, 16-bit in between (float or int16 in and out)
integer_float_io    integers inside, float in and out
hybrid/A+B          both A and B flow between the operations
"""

from __future__ import annotations

from typing import Any

from edgecnn.errors import ArtifactError

__all__ = ["read_kind"]

_INTEGERS = frozenset({"int8", "uint8", "int16"})
_TFLITE_WEIGHTED = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"}
)
_ONNX_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def read_kind(data: bytes) -> str:
    """The kind of a .tflite or .onnx file.

    Raises:
        ArtifactError: Neither of the two.
    """
    if data[4:8] == b"TFL3":
        return _tflite_kind(data)
    return _onnx_kind(data)


def _tflite_kind(data: bytes) -> str:
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    names = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = [names[t.type] for t in graph.tensors]
    constant = [
        model.buffers[t.buffer].data is not None and len(model.buffers[t.buffer].data) > 0
        for t in graph.tensors
    ]
    weights: set[str] = set()
    inside: set[str] = set()
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        name = codes[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs = [i for i in op.inputs if i >= 0]
        if name in _TFLITE_WEIGHTED | {"DEQUANTIZE"}:
            weights |= {types[i] for i in inputs if constant[i]}
        if name not in {"QUANTIZE", "DEQUANTIZE"}:
            inside |= {types[i] for i in (*inputs, *op.outputs) if not constant[i]}
    ends = {types[i] for i in (*graph.inputs, *graph.outputs)}
    return _kind(weights, inside, ends)


def _onnx_kind(data: bytes) -> str:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        graph = onnx.load_from_string(data).graph
    except DecodeError as error:
        raise ArtifactError("the file is neither TFLite nor ONNX") from error
    if any(n.op_type in {"DynamicQuantizeLinear", "MatMulInteger"} for n in graph.node):
        return "dynamic_range"
    names = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}
    names[onnx.TensorProto.FLOAT] = "float32"
    ends = {names[v.type.tensor_type.elem_type] for v in (*graph.input, *graph.output)}
    made_by = {name: node for node in graph.node for name in node.output}
    stored = {t.name: names[t.data_type] for t in graph.initializer}
    weights: set[str] = set()
    inside: set[str] = set()
    for node in graph.node:
        if node.op_type in _ONNX_WEIGHTED:
            for name in node.input[:2]:
                weight, value = _onnx_types(name, made_by, stored)
                (weights if weight else inside).add(value)
    return _kind(weights, inside, ends)


def _onnx_types(name: str, made_by: dict[str, Any], stored: dict[str, str]) -> tuple[bool, str]:
    """(is it a stored weight, the type that it is kept in) of a compute node's input."""
    if name in stored:
        return True, stored[name]
    node = made_by.get(name)
    if node is None or node.op_type != "DequantizeLinear":
        return False, "float32"
    if node.input[0] in stored:
        return True, stored[node.input[0]]
    return False, stored[node.input[2]]


def _kind(weights: set[str], inside: set[str], ends: set[str]) -> str:
    inside = inside & (_INTEGERS | {"float32", "float16"})
    if inside <= {"float32"}:
        if weights & _INTEGERS:
            return "dynamic_range"
        return "float16" if "float16" in weights else "float32"
    if "int16" in inside and inside <= {"int16", "float32"} and "float32" not in inside:
        return "int16_activations"
    if inside <= {"int8", "uint8"}:
        return "full_integer" if ends <= _INTEGERS else "integer_float_io"
    return "hybrid/" + "+".join(sorted(inside))
