"""The parts of an .onnx file: QDQ pairs, their axes, and the float islands between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any

from edgecnn.export.readback.anatomy_parts import INTEGERS, Parts, Weight
from edgecnn.export.readback.kinds import ONNX_WEIGHTED, read_onnx

__all__ = ["onnx_parts"]

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})
# Operations that are integer by themselves, without a QDQ pair around them.
_INTEGER_OPERATIONS = frozenset(
    {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul"}
)
# What a runtime computes together with the convolution before it, and mere bookkeeping.
_FUSED = frozenset({"Relu", "Clip"})
_NO_ARITHMETIC = frozenset({"Constant", "Cast", "Shape", "Identity"})


def onnx_parts(data: bytes) -> Parts:
    """Read an .onnx file.

    Raises:
        ArtifactError: It is none.
    """
    return _Reader(read_onnx(data)).parts()


class _Reader:
    """The graph by name: who makes a value, who reads it, what is stored."""

    def __init__(self, model: Any) -> None:
        import onnx

        graph = model.graph
        self.model, self.graph = model, graph
        self.types: dict[int, str] = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}
        self.types[onnx.TensorProto.FLOAT] = "float32"
        self.stored = {t.name: t for t in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def parts(self) -> Parts:
        nodes, ends = self.graph.node, (*self.graph.input, *self.graph.output)
        integers = {v.name: self._dtype(v) for v in ends if self._dtype(v) in INTEGERS}
        integers |= {n.output[0]: self._target(n) for n in nodes if n.op_type == "QuantizeLinear"}
        floats = {v.name: "float32" for v in ends if self._dtype(v) == "float32"}
        floats |= dict.fromkeys(self._float_values(), "float32")
        kinds = Counter([*integers.values(), *floats.values(), *self._constants()])
        opset = next((o.version for o in self.model.opset_import if not o.domain), 0)
        return Parts(
            tensors=dict(sorted(kinds.items())),
            integer_tensors=tuple(integers),
            float_tensors=tuple(floats),
            float_operations=tuple(self._float_operations()),
            weights=tuple(self._weights()),
            measured_ranges=self._measured_ranges(),
            inputs=tuple(self._dtype(v) for v in self.graph.input if v.name not in self.stored),
            outputs=tuple(self._dtype(v) for v in self.graph.output),
            operations=tuple(
                (name, 0, count)
                for name, count in sorted(Counter(n.op_type for n in nodes).items())
            ),
            requirement=f"ONNX opset {opset}",
        )

    def _dtype(self, value: Any) -> str:
        return self.types[value.type.tensor_type.elem_type]

    def _target(self, node: Any) -> str:
        """The type that a QuantizeLinear makes: its zero point's, by default uint8."""
        zero = self.stored.get(node.input[2]) if len(node.input) > 2 else None
        return "uint8" if zero is None else str(self.types[zero.data_type])

    def _constants(self) -> Iterator[str]:
        """Types of what is stored, without the scales and zero points of conversions."""
        ours = {
            name
            for node in self.graph.node
            if node.op_type in _CONVERSIONS
            for name in node.input[1:]
        }
        for name, tensor in self.stored.items():
            if name not in ours:
                yield self.types[tensor.data_type]

    def _measured_ranges(self) -> int:
        """Activations with a QDQ pair; of the pair of an integer graph input half is left."""
        inputs = {v.name for v in self.graph.input}
        halves = {n.input[0] for n in self.graph.node if n.op_type == "DequantizeLinear"}
        pairs = (n for n in self.graph.node if n.op_type == "QuantizeLinear")
        return sum(n.input[0] not in self.stored for n in pairs) + len(inputs & halves)

    def _weights(self) -> Iterator[Weight]:
        for node in self.graph.node:
            if node.op_type not in ONNX_WEIGHTED:
                continue
            for name in node.input[:2]:
                found = self._weight(node, name)
                if found:
                    yield found

    def _weight(self, node: Any, name: str) -> Weight | None:
        operation = f"{node.op_type} {node.name or node.output[0]}"
        maker = self.maker.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            kept = self.stored.get(name)
            if kept is None:
                return None
            return Weight(operation, name, self.types[kept.data_type], 0)
        kept = self.stored.get(maker.input[0])
        if kept is None:
            return None
        scale = self.stored.get(maker.input[1])  # None: made by another node, so one number
        scales = 1 if scale is None else prod(scale.dims)
        axis = next((a.i for a in maker.attribute if a.name == "axis"), 1) if scales > 1 else None
        return Weight(operation, kept.name, self.types[kept.data_type], scales, axis)

    def _float_operations(self) -> Iterator[str]:
        for k, node in enumerate(self.graph.node):
            if self._is_arithmetic(node) and not self._is_wrapped(node):
                yield f"{k} {node.op_type}"

    def _float_values(self) -> Iterator[str]:
        """Activations that are float where the file runs: not inside a QDQ pair."""
        for node in self.graph.node:
            if not self._is_arithmetic(node):
                continue
            for name in node.output:
                if not all(
                    self._absorbs(node, reader) for reader in self.readers.get(name, [None])
                ):
                    yield name

    @staticmethod
    def _is_arithmetic(node: Any) -> bool:
        return node.op_type not in _CONVERSIONS | _NO_ARITHMETIC | _INTEGER_OPERATIONS

    def _is_wrapped(self, node: Any) -> bool:
        """Integers come in through DequantizeLinear and go out through QuantizeLinear."""
        comes_in = all(self._is_integer(name, node) for name in node.input if name)
        goes_out = all(
            self._absorbs(node, reader)
            for name in node.output
            for reader in self.readers.get(name, [None])
        )
        return comes_in and goes_out

    def _is_integer(self, name: str, node: Any) -> bool:
        """Whether a value reaches `node` as integers; stored sizes and limits may be anything."""
        maker = self.maker.get(name)
        if maker is None:
            return name in self.stored
        fused = node.op_type in _FUSED and maker.op_type in ONNX_WEIGHTED
        return fused or maker.op_type in ("DequantizeLinear", "Constant")

    def _absorbs(self, node: Any, reader: Any) -> bool:
        """Whether what `node` gives is turned into integers by `reader`, or fused with it."""
        if reader is None:
            return False
        fused = reader.op_type in _FUSED and node.op_type in ONNX_WEIGHTED
        return fused or reader.op_type == "QuantizeLinear"
