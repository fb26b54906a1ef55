"""Models of one operation, made by hand with the flatbuffer object API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from edgecnn.bundle.tflite_file import schema


@dataclass(frozen=True, eq=False)
class T:
    """A tensor: constant when it has values; integers are quantized unless scale=0.

    Several scales are those of the slices along the first axis.
    """

    shape: tuple[int, ...] = (1, 8, 8, 4)
    dtype: str = "int8"
    values: Any = None
    scale: float | tuple[float, ...] = 0.1
    zero: int = 0
    signature: tuple[int, ...] | None = None


def const(values: Any, dtype: str = "int32") -> T:
    array = np.asarray(values, dtype)
    return T(array.shape, dtype, array, scale=0)


def weights(*shape: int) -> T:
    return T(shape, "int8", np.ones(shape, np.int8))


def bias(size: int) -> T:
    """Its scale is that of the input times that of the weights."""
    return T((size,), "int32", np.zeros(size, np.int32), scale=0.1 * 0.1)


def one_op(
    name: str,
    inputs: list[T | None],
    outputs: list[T],
    options: dict[str, Any] | None = None,
    *,
    version: int = 1,
    subgraphs: int = 1,
    custom: bool = False,
) -> bytes:
    """A .tflite file with one operation.

    Args:
        name: As in BuiltinOperator; any text when `custom`.
        inputs: None is a left-out one. Those without values are the model's inputs.
        options: Fields of the operation's options, as the schema names them.
    """
    s = schema()
    model = s.ModelT()
    model.version, model.description = 3, b"one operation"
    model.buffers = [_buffer(None)]
    graph = s.SubGraphT()
    given = list(dict.fromkeys(t for t in inputs if t is not None))
    graph.tensors = [_tensor(model, k, t) for k, t in enumerate([*given, *outputs])]
    operation = s.OperatorT()
    operation.opcodeIndex = 0
    operation.inputs = [given.index(t) if t is not None else -1 for t in inputs]
    operation.outputs = list(range(len(given), len(graph.tensors)))
    if options is not None:
        kind, operation.builtinOptions = _options(name, options)
        operation.builtinOptionsType = getattr(s.BuiltinOptions, kind)
    graph.inputs = [k for k, t in enumerate(given) if t.values is None]
    graph.outputs = operation.outputs
    graph.operators = [operation]
    model.subgraphs = [graph] * subgraphs
    code = s.OperatorCodeT()
    code.builtinCode = s.BuiltinOperator.CUSTOM if custom else getattr(s.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.customCode = name.encode() if custom else None
    code.version = version
    model.operatorCodes = [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, index: int, tensor: T) -> Any:
    s = schema()
    made = s.TensorT()
    made.name = f"t{index}".encode()
    made.shape = list(tensor.shape)
    made.shapeSignature = list(tensor.signature) if tensor.signature else None
    made.type = getattr(s.TensorType, tensor.dtype.upper())
    if tensor.values is not None:
        model.buffers.append(_buffer(np.asarray(tensor.values, tensor.dtype).tobytes()))
        made.buffer = len(model.buffers) - 1
    if tensor.scale and "int" in tensor.dtype:
        made.quantization = s.QuantizationParametersT()
        scales = tensor.scale if isinstance(tensor.scale, tuple) else (tensor.scale,)
        made.quantization.scale = list(scales)
        made.quantization.zeroPoint = [tensor.zero] * len(scales)
    return made


def _buffer(data: bytes | None) -> Any:
    made = schema().BufferT()
    made.data = None if data is None else list(data)
    return made


def _options(name: str, fields: dict[str, Any]) -> tuple[str, Any]:
    """The options class is named like the operation, with a few of a family's name."""
    family = {
        "AVERAGE_POOL_2D": "Pool2D",
        "MAX_POOL_2D": "Pool2D",
        "CONV_2D": "Conv2D",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
        "MEAN": "Reducer",
        "SUM": "Reducer",
        "REDUCE_MAX": "Reducer",
        "REDUCE_MIN": "Reducer",
    }
    kind = family.get(name, "".join(part.title() for part in name.split("_"))) + "Options"
    made = getattr(schema(), kind + "T")()
    for field, value in fields.items():
        assert hasattr(made, field), f"{kind} has no {field}"
        setattr(made, field, value)
    return kind, made
