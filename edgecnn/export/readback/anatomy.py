"""What an exported file holds, read back from it: the long answer to what `kinds` gives a word for.

Both formats answer the same questions: which types do the tensors have, what stays float, are the
weights quantized per channel or per tensor, and did calibration data leave a trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgecnn.bundle.tflite_file import Graph, Tensor
from edgecnn.export.readback.kinds import CONVERSIONS, fused_tensors, kind_of, stored_weights
from edgecnn.export.readback.onnx_graph import read_any_graph
from edgecnn.records import Json, Record, computed

__all__ = ["Anatomy", "Weight", "read_anatomy"]

# Types that stand for quantized numbers; shapes and indices are int32 and int64.
_INTEGERS = frozenset({"int4", "int8", "uint8", "int16", "uint16"})
_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
# The specification fixes the output scale of these, or makes it that of the input.
# Source: TensorFlow Lite 8-bit quantization specification, "Int8 quantized operators".
_FIXED_SCALE = frozenset({"SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION", "LOG_SOFTMAX"})
_SAME_SCALE = frozenset(
    {
        "AVERAGE_POOL_2D",
        "BATCH_TO_SPACE_ND",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MINIMUM",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "PADV2",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "SLICE",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TRANSPOSE",
        "UNPACK",
    }
)


@dataclass(frozen=True)
class Weight(Record):
    """The weights of one layer. scales: 0 for float, 1 per tensor, more along `axis`."""

    operation: str
    name: str
    dtype: str
    scales: int
    axis: int | None = None

    @property
    @computed
    def granularity(self) -> str:
        if self.scales == 0:
            return "float"
        return "per tensor" if self.scales == 1 else "per channel"


@dataclass(frozen=True)
class Anatomy(Record):
    """One file.

    Args:
        kind: See `kinds.read_kind`.
        tensors: Number of tensors by type.
        integer_tensors, float_tensors: Names of the activations (not constants) of either sort.
        float_operations: "index NAME" of the operations that compute on floats.
        weights: Of every convolution and dense layer.
        measured_ranges: Activations whose scale was measured: by calibration images, or in
            quantization-aware training. Those that the format fixes (softmax: 1/256) or that are
            handed on (reshape) do not count.
        inputs, outputs: Types at the ends.
        operations: (name, version, count); version 0 where the format has none.
        requirement: The oldest runtime that the file asks for, or "unknown".
    """

    kind: str
    tensors: dict[str, int]
    integer_tensors: tuple[str, ...]
    float_tensors: tuple[str, ...]
    float_operations: tuple[str, ...]
    weights: tuple[Weight, ...]
    measured_ranges: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: tuple[tuple[str, int, int], ...]
    requirement: str

    @property
    @computed
    def calibrated(self) -> bool:
        """Whether activation ranges were measured at all; a dynamic-range file has none."""
        return self.measured_ranges > 0

    @property
    @computed
    def granularity(self) -> str:
        """Of the weights: "per channel", "per tensor", "mixed" or "float"."""
        found = {w.granularity for w in self.weights if w.granularity != "float"}
        if not found:
            return "float"
        return found.pop() if len(found) == 1 else "mixed"

    def to_json(self) -> Json:
        names = ("name", "version", "count")
        operations = [dict(zip(names, one, strict=True)) for one in self.operations]
        return {**super().to_json(), "operations": operations, "text": self.to_text()}

    def to_text(self) -> str:
        """One line for the export table."""
        by_type = Counter(w.dtype for w in self.weights)
        weights = ", ".join(f"{count} {dtype}" for dtype, count in sorted(by_type.items()))
        if self.granularity not in ("float", "mixed"):
            weights += f" {self.granularity}"
        elif self.granularity == "mixed":
            per = Counter(w.granularity for w in self.weights)
            weights += f" ({per['per channel']} per channel, {per['per tensor']} per tensor)"
        num_integer, num_float = len(self.integer_tensors), len(self.float_tensors)
        parts = [
            f"{'+'.join(self.inputs)} in, {'+'.join(self.outputs)} out",
            f"weights {weights or 'none'}",
            f"activations {num_integer} integer, {num_float} float",
            f"{self.measured_ranges} measured ranges" if self.calibrated else "not calibrated",
        ]
        if self.granularity != "float" and self.float_operations:
            count = len(self.float_operations)
            parts.append(f"{count} operation{'s stay' if count > 1 else ' stays'} float")
        return "; ".join([*parts, f"needs {self.requirement}"])


def read_anatomy(data: bytes) -> Anatomy:
    """Look into a .tflite or .onnx file.

    Raises:
        ArtifactError: Neither of the two.
    """
    graph = read_any_graph(data)
    fused = fused_tensors(graph)
    used = {t.index: t for op in graph.operations for t in op.tensors if t.index not in fused}
    used |= {t.index: t for t in (*graph.inputs, *graph.outputs)}
    activations = [t for t in used.values() if not t.constant]
    operations = Counter((op.name, op.version) for op in graph.operations)
    return Anatomy(
        kind=kind_of(graph),
        tensors=dict(sorted(Counter(t.dtype for t in used.values()).items())),
        integer_tensors=tuple(t.name for t in activations if t.dtype in _INTEGERS),
        float_tensors=tuple(t.name for t in activations if t.dtype in _FLOATS),
        float_operations=tuple(
            f"{op.index} {op.name}"
            for op in graph.operations
            if op.name not in CONVERSIONS and _computes_on_floats(op.tensors, fused)
        ),
        weights=_weights(graph),
        measured_ranges=_measured_ranges(graph, activations),
        inputs=tuple(t.dtype for t in graph.inputs),
        outputs=tuple(t.dtype for t in graph.outputs),
        operations=tuple((*key, count) for key, count in sorted(operations.items())),
        requirement=graph.requirement,
    )


def _computes_on_floats(tensors: Sequence[Tensor], fused: set[int]) -> bool:
    return any(t.dtype in _FLOATS and not t.constant and t.index not in fused for t in tensors)


def _weights(graph: Graph) -> tuple[Weight, ...]:
    return tuple(
        Weight(
            operation=f"{op.index} {op.name}",
            name=kept.name,
            dtype=kept.dtype,
            scales=int(kept.scales.size),
            axis=kept.axis if kept.scales.size > 1 else None,
        )
        for op, kept in stored_weights(graph)
    )


def _measured_ranges(graph: Graph, activations: Sequence[Tensor]) -> int:
    """Quantized activations whose scale neither the format nor another tensor dictates."""
    dictated = {
        t.index
        for op in graph.operations
        if op.name in _FIXED_SCALE | _SAME_SCALE | CONVERSIONS
        for t in op.outputs
    }
    measured = (t for t in activations if t.index not in dictated)
    return sum(t.dtype in _INTEGERS and t.scales.size > 0 for t in measured)
