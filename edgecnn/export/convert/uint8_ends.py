"""Integer ends of another type for a .tflite file that takes and gives int8."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edgecnn.export.packing.flatbuffer import read_tflite, schema, write_tflite

__all__ = ["to_uint8_ends"]

_TO_UINT8 = 128  # between the zero points of the two types


def to_uint8_ends(data: bytes) -> bytes:
    """Put a QUANTIZE operation before the input and behind the output: uint8 in and out.

    The converter's own quantizer knows float and int8 ends only, and a later step of the converter
    gives files of float ends others; a file whose first layer stays in float has neither.

    Args:
        data: A .tflite file of one input and one output, both int8.
    """
    model = read_tflite(data)
    graph = model.subgraphs[0]
    code = _quantize_code(model)
    ends = {
        int(graph.inputs[0]): _outer(graph, int(graph.inputs[0])),
        int(graph.outputs[0]): _outer(graph, int(graph.outputs[0])),
    }
    (inside, outside), (last, result) = ends.items()
    graph.operators.insert(0, _quantize(code, outside, inside))
    graph.operators.append(_quantize(code, last, result))
    graph.inputs, graph.outputs = [outside], [result]
    for signature in model.signatureDefs or []:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = ends[entry.tensorIndex]
    return write_tflite(model)


def _outer(graph: Any, index: int) -> int:
    """A uint8 tensor for the same values as an int8 one."""
    tensor = deepcopy(graph.tensors[index])
    tensor.type = schema().TensorType.UINT8
    tensor.quantization.zeroPoint = [int(tensor.quantization.zeroPoint[0]) + _TO_UINT8]
    tensor.name = tensor.name + b"_uint8"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _quantize(code: int, source: int, target: int) -> Any:
    operator = schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    operator.builtinOptionsType = schema().BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema().QuantizeOptionsT()
    return operator


def _quantize_code(model: Any) -> int:
    """Index of QUANTIZE among the model's operator codes; added where it has none."""
    wanted = schema().BuiltinOperator.QUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == wanted:
            return index
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
