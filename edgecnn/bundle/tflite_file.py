"""A .tflite file as it is stored: tensors, scales and operations, without running it.

The schema comes from whichever package is installed: ai-edge-litert on a device, TensorFlow in
the lab. tflite-runtime has none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from edgecnn.errors import ArtifactError, MissingRuntimeError

__all__ = [
    "EDGETPU_OPERATION",
    "Graph",
    "Operation",
    "Tensor",
    "is_compiled",
    "read_graph",
    "read_tflite",
    "schema",
]

# What the Edge TPU compiler puts in place of the operations that it took.
EDGETPU_OPERATION = "edgetpu-custom-op"
# What reading garbage as a flatbuffer raises.
_BROKEN = (struct.error, IndexError, ValueError, TypeError, UnicodeDecodeError)


@dataclass(frozen=True, eq=False)  # arrays have no truth value: identity is meant
class Tensor:
    """One tensor of a graph.

    Args:
        dtype: "int8", "float32", ... as the schema names it, in lower case.
        shape: Sizes; () for a scalar.
        dynamic: Some size is only known at run time.
        scales: float32, empty (not quantized), one, or one for each slice along `axis`.
        data: The bytes of a constant, else None.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    data: bytes | None

    @property
    def constant(self) -> bool:
        return self.data is not None

    def values(self) -> np.ndarray:
        """A constant's values.

        Raises:
            ArtifactError: It has none, or fewer than its shape says.
        """
        try:
            return np.frombuffer(self.data or b"", self.dtype).reshape(self.shape)
        except (ValueError, TypeError) as error:
            raise ArtifactError(
                f"tensor {self.name!r} holds no {self.dtype} {list(self.shape)}; export it again"
            ) from error


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation. Left-out inputs are None; `options` is the schema's object, or None."""

    index: int
    name: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that the operation reads or writes."""
        return (*(t for t in self.inputs if t is not None), *self.outputs)

    def option(self, name: str) -> Any:
        """A field of the options; 0 where the file has none, which is the schema's default."""
        return getattr(self.options, name, 0)


@dataclass(frozen=True, eq=False)
class Graph:
    """The main subgraph of a file. `requirement`: the runtime that its converter asks for."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    num_subgraphs: int
    requirement: str


@cache
def schema() -> Any:
    """The generated TFLite schema: ModelT, TensorType, BuiltinOperator, ...

    Raises:
        MissingRuntimeError: Neither ai-edge-litert nor TensorFlow is installed.
    """
    for name in ("ai_edge_litert", "tensorflow.lite.python"):
        try:
            return import_module(f"{name}.schema_py_generated")
        except ImportError:
            continue
    raise MissingRuntimeError(
        "no TFLite schema found to look into the file with; pip install ai-edge-litert"
    )


def read_tflite(data: bytes) -> Any:
    """A .tflite file as a ModelT object; bytes after the flatbuffer are ignored.

    Raises:
        ArtifactError: Not a TFLite model.
        MissingRuntimeError: See `schema`.
    """
    if data[4:8] != b"TFL3":
        raise ArtifactError("the file is not a TFLite model (no TFL3 mark); export it again")
    try:
        return schema().ModelT.InitFromPackedBuf(data, 0)
    except _BROKEN as error:
        raise ArtifactError("the file is a damaged TFLite model; export it again") from error


def read_graph(data: bytes) -> Graph:
    """The main subgraph of a .tflite file.

    Raises:
        ArtifactError: Not a TFLite model.
        MissingRuntimeError: See `schema`.
    """
    model = read_tflite(data)
    try:
        graph = model.subgraphs[0]
        types = _names(schema().TensorType)
        tensors = tuple(_tensor(model, k, t, types) for k, t in enumerate(graph.tensors))
        operations = tuple(
            _operation(model, k, op, tensors) for k, op in enumerate(graph.operators or [])
        )
        return Graph(
            tensors,
            tuple(tensors[i] for i in graph.inputs),
            tuple(tensors[i] for i in graph.outputs),
            operations,
            len(model.subgraphs),
            _requirement(model),
        )
    except (*_BROKEN, AttributeError, KeyError) as error:
        raise ArtifactError("the file is a damaged TFLite model; export it again") from error


def is_compiled(graph: Graph) -> bool:
    """Whether the Edge TPU compiler made the file."""
    return any(op.name == EDGETPU_OPERATION for op in graph.operations)


def _tensor(model: Any, index: int, tensor: Any, types: dict[int, str]) -> Tensor:
    shape = _list(tensor.shape)
    signature = _list(tensor.shapeSignature)
    stored = model.buffers[tensor.buffer].data
    quantization = tensor.quantization
    return Tensor(
        index=index,
        name=_text(tensor.name),
        dtype=types[tensor.type].lower(),
        shape=tuple(map(int, shape)),
        dynamic=any(size < 0 for size in (*shape, *signature)),
        scales=np.asarray(_list(quantization and quantization.scale), np.float32),
        zero_points=np.asarray(_list(quantization and quantization.zeroPoint), np.int64),
        axis=int(quantization.quantizedDimension) if quantization else 0,
        data=None if stored is None or len(stored) == 0 else bytes(stored),
    )


def _operation(model: Any, index: int, op: Any, tensors: tuple[Tensor, ...]) -> Operation:
    code = model.operatorCodes[op.opcodeIndex]
    name = _names(schema().BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if name == "CUSTOM":
        name = _text(code.customCode)
    return Operation(
        index=index,
        name=name,
        version=int(code.version),
        inputs=tuple(tensors[i] if i >= 0 else None for i in _list(op.inputs)),
        outputs=tuple(tensors[i] for i in _list(op.outputs)),
        options=op.builtinOptions,
    )


def _requirement(model: Any) -> str:
    for entry in model.metadata or []:
        stored = model.buffers[entry.buffer].data
        if _text(entry.name) == "min_runtime_version" and stored is not None:
            version = bytes(stored).rstrip(b"\0").decode()
            return f"TFLite {version}" if version else "unknown"
    return "unknown"


def _names(enum: Any) -> dict[int, str]:
    """Number -> name of a generated enum class."""
    return {v: k for k, v in vars(enum).items() if isinstance(v, int)}


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _list(vector: Any) -> list[Any]:
    """A vector of the schema: an array, a list, or None when it is empty."""
    return [] if vector is None else list(vector)
