"""An .onnx file as the `Graph` that a .tflite file is too: integers where it has QDQ pairs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from edgecnn.bundle.tflite_file import Graph, Operation, Tensor, read_graph
from edgecnn.errors import ArtifactError

__all__ = ["read_any_graph"]

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
# Bookkeeping, and operations that are integer by themselves, without a QDQ pair around them.
_NOT_FLOAT = frozenset(
    {
        "Cast",
        "Constant",
        "ConvInteger",
        "DynamicQuantizeLinear",
        "Identity",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "Shape",
    }
)


def read_any_graph(data: bytes, file: str = "the file") -> Graph:
    """The graph of a .tflite or .onnx file.

    An ONNX operation between DequantizeLinear and QuantizeLinear reads and writes the integers
    beyond them, as runtimes compute it; the conversions themselves are without tensors.

    Raises:
        ArtifactError: Neither of the two.
    """
    if data[4:8] == b"TFL3":
        return read_graph(data)
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_from_string(data)
    except DecodeError:
        model = onnx.ModelProto()
    if not model.graph.node:
        raise ArtifactError(f"{file} is neither TFLite nor ONNX; export it again")
    return _Reader(model).graph()


class _Reader:
    """The model by name: what is stored, who reads a value, which pair quantizes a tensor."""

    def __init__(self, model: Any) -> None:
        import onnx

        self._model, graph = model, model.graph
        self._types: dict[int, str] = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}
        self._types[onnx.TensorProto.FLOAT] = "float32"
        self._stored = {t.name: t for t in graph.initializer}
        self._dtypes = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
        self._dtypes |= {t.name: t.data_type for t in graph.initializer}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        self._pairs: dict[str, Any] = {}  # integer tensor -> a conversion with its scale
        self._integers: dict[str, str] = {}  # output of a DequantizeLinear -> its input
        for node in graph.node:
            for name in node.input:
                self._readers[name].append(node)
            if node.op_type == "QuantizeLinear":
                self._pairs[node.output[0]] = node
            elif node.op_type == "DequantizeLinear":
                self._pairs.setdefault(node.input[0], node)
                self._integers[node.output[0]] = node.input[0]
        self._others = {n for node in graph.node if node.op_type in _NOT_FLOAT for n in node.output}
        self._tensors: dict[str, Tensor] = {}

    def graph(self) -> Graph:
        graph = self._model.graph
        opset = next((o.version for o in self._model.opset_import if not o.domain), 0)
        ends = [
            tuple(self._tensor(v.name) for v in values if v.name not in self._stored)
            for values in (graph.input, graph.output)
        ]
        operations = tuple(self._operation(k, node) for k, node in enumerate(graph.node))
        tensors = tuple(self._tensors.values())
        return Graph(tensors, ends[0], ends[1], operations, 1, f"ONNX opset {opset}")

    def _operation(self, index: int, node: Any) -> Operation:
        inputs: tuple[Tensor | None, ...] = ()
        outputs: tuple[Tensor, ...] = ()
        if node.op_type not in _CONVERSIONS:
            outputs = tuple(t for name in node.output for t in self._written(name))
            if node.op_type not in _NOT_FLOAT:
                names = [self._integers.get(name, name) for name in node.input]
                inputs = tuple(self._tensor(name) if name else None for name in names)
        return Operation(index, node.op_type, 0, inputs, outputs, None)

    def _written(self, name: str) -> list[Tensor]:
        """What becomes of an output: the integers made of it, itself where anyone else reads it."""
        makers = [node for node in self._readers[name] if node.op_type == "QuantizeLinear"]
        found = [self._tensor(node.output[0]) for node in makers]
        if not makers or len(makers) < len(self._readers[name]):
            found.append(self._tensor(name))
        return found

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            kept, pair = self._stored.get(name), self._pairs.get(name)
            axis = [a.i for a in pair.attribute if a.name == "axis"] if pair else []
            self._tensors[name] = Tensor(
                index=len(self._tensors),
                name=name,
                dtype=self._dtype(name),
                shape=tuple(kept.dims) if kept else (),
                dynamic=False,
                scales=self._numbers(pair, 1),
                zero_points=self._numbers(pair, 2),
                axis=axis[0] if axis else 1,
                data=kept.raw_data if kept else None,
            )
        return self._tensors[name]

    def _dtype(self, name: str) -> str:
        if name in self._dtypes:
            return self._types[self._dtypes[name]]
        if name in self._pairs:
            zero_points = self._numbers(self._pairs[name], 2)
            return zero_points.dtype.name
        return "int32" if name in self._others else "float32"

    def _numbers(self, pair: Any, position: int) -> np.ndarray:
        """The scales (1) or zero points (2) of a conversion, which are uint8 where it has none."""
        from onnx import numpy_helper

        kept = (
            self._stored.get(pair.input[position]) if pair and len(pair.input) > position else None
        )
        if kept is None:
            return np.empty(0, np.uint8)
        return np.asarray(numpy_helper.to_array(kept)).reshape(-1)
