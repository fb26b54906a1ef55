"""What the Edge TPU compiler would take of a .tflite file, predicted from its documented rules.

The compiler takes operations in order up to the first that it can't map, and leaves all the rest
to the CPU. It also refuses operations for reasons that were never published.

Source: "TensorFlow models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro), model
requirements and supported operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from edgecnn.bundle.edgetpu.rules import SUPPORTED, Restriction
from edgecnn.bundle.tflite_file import (
    EDGETPU_OPERATION,
    Graph,
    Operation,
    Tensor,
    is_compiled,
    read_graph,
)
from edgecnn.errors import ArtifactError
from edgecnn.records import Json, Record, computed

__all__ = ["EdgeTpuPrediction", "PredictedOperation", "Verdict", "predict_edgetpu"]

Verdict = Literal["maps", "conditional", "cpu", "end"]
_ON_CHIP_BYTES = 8_000_000  # of the chip's memory, for parameters and code
_TYPES = ("int8", "uint8")


@dataclass(frozen=True)
class PredictedOperation:
    """One operation on its own, wherever it stands.

    verdict: "maps"; "conditional": the rules leave it to the compiler; "cpu": a rule excludes it;
    "end": a conversion from or to float at an end of the graph, which stays on the CPU without
    cutting the graph. `reason` is empty only for "maps".
    """

    index: int
    name: str
    verdict: Verdict
    reason: str = ""

    def text(self) -> str:
        return f"op {self.index} {self.name} ({self.reason})"


@dataclass(frozen=True)
class EdgeTpuPrediction(Record):
    """The operations that would map. `compiled`: the file is the compiler's output already.

    min_runtime: the oldest Edge TPU runtime that has all operations that map.
    parameter_bytes: constants of the operations before the first break.
    """

    operations: tuple[PredictedOperation, ...]
    compiled: bool
    min_runtime: int
    parameter_bytes: int

    @property
    @computed
    def first_break(self) -> PredictedOperation | None:
        """The first operation that a rule excludes: it and all after it run on the CPU."""
        return next((op for op in self.operations if op.verdict == "cpu"), None)

    @property
    def taken(self) -> tuple[PredictedOperation, ...]:
        """The operations before the first break."""
        return self.operations[: self.first_break.index if self.first_break else None]

    @property
    @computed
    def mapped(self) -> int:
        """Operations before the first break that the rules let through, conditional ones too."""
        return sum(op.verdict in ("maps", "conditional") for op in self.taken)

    @property
    def conditional(self) -> tuple[PredictedOperation, ...]:
        """Operations before the first break that only the compiler can decide."""
        return tuple(op for op in self.taken if op.verdict == "conditional")

    def to_json(self) -> Json:
        total = len(self.operations)
        return {**super().to_json(), "predicted": True, "total": total, "text": self.to_text()}

    def to_text(self) -> str:
        """One line, without the words "Edge TPU (predicted)" that go before it."""
        if self.compiled:
            rest = sum(op.name != EDGETPU_OPERATION for op in self.operations)
            return f"compiled already, {rest} operations on the CPU"
        total, first = len(self.operations), self.first_break
        text = f"{self.mapped} of {total} operations map"
        if first:
            text = f"{text}, first break: {first.text()}"
        if self.conditional:
            one, more = self.conditional[0], len(self.conditional) - 1
            text += f"; up to the compiler: {one.text()}" + (f" and {more} more" if more else "")
        if self.mapped and self.parameter_bytes > _ON_CHIP_BYTES:
            size = self.parameter_bytes / 1e6
            text += f"; {size:.1f} MB of parameters, more than the chip holds: the rest is streamed"
        return text


def predict_edgetpu(data: bytes) -> EdgeTpuPrediction:
    """Predict, operation by operation, what of a .tflite file the Edge TPU compiler maps.

    Raises:
        ArtifactError: Not a TFLite model.
        MissingRuntimeError: Neither ai-edge-litert nor TensorFlow is there to read the file with.
    """
    graph = read_graph(data)
    compiled = is_compiled(graph)
    try:
        operations = tuple(
            _compiled(op) if compiled else _predict(op, graph) for op in graph.operations
        )
    except IndexError as error:  # an operation without the inputs or outputs that it must have
        raise ArtifactError("the file is a damaged TFLite model; export it again") from error
    prediction = EdgeTpuPrediction(operations, compiled, 0, 0)
    taken = [graph.operations[op.index] for op in prediction.taken if op.verdict != "end"]
    runtimes = (SUPPORTED[op.name].runtime for op in taken if op.name in SUPPORTED)
    constants = {t.index: t.data or b"" for op in taken for t in op.tensors if t.constant}
    return replace(
        prediction,
        min_runtime=max(runtimes, default=0),
        parameter_bytes=sum(map(len, constants.values())),
    )


def _compiled(op: Operation) -> PredictedOperation:
    if op.name == EDGETPU_OPERATION:
        return PredictedOperation(op.index, op.name, "maps")
    return PredictedOperation(op.index, op.name, "cpu", "the compiler left it to the CPU")


def _predict(op: Operation, graph: Graph) -> PredictedOperation:
    if _is_end(op, graph):
        reason = "converts from or to float at an end of the graph, on the CPU"
        return PredictedOperation(op.index, op.name, "end", reason)
    row = SUPPORTED.get(op.name)
    findings = [*_general(op, graph)]
    if row is None:
        findings.insert(0, Restriction("cpu", "not in the table of supported operations"))
    else:
        findings += _parameters(op, row.parameters)
        findings += row.check(op) if row.check else []
        findings += [Restriction("conditional", row.doubt)] if row.doubt else []
        if op.version > row.newest:
            why = f"version {op.version} is newer than the last compiler, which knew {row.newest}"
            findings.append(Restriction("conditional", why))
    excluded = [f.reason for f in findings if f.verdict == "cpu"]
    reasons = dict.fromkeys(excluded or [f.reason for f in findings])
    verdict: Verdict = "cpu" if excluded else "conditional" if findings else "maps"
    return PredictedOperation(op.index, op.name, verdict, "; ".join(reasons))


def _is_end(op: Operation, graph: Graph) -> bool:
    """The compiler leaves these where they are: "float in and out" of other tools' models."""
    if op.name == "QUANTIZE":
        return op.inputs[0] in graph.inputs and op.inputs[0].dtype == "float32"
    if op.name == "DEQUANTIZE":
        return op.outputs[0] in graph.outputs
    return False


def _general(op: Operation, graph: Graph) -> list[Restriction]:
    """The model requirements: 8 bits, constant sizes and parameters, three dimensions."""
    found = []
    if graph.num_subgraphs > 1:
        found.append(Restriction("cpu", "the model has more than one subgraph"))
    wrong = [t for t in op.tensors if not _type_is_right(t)]
    if wrong:
        kinds = sorted({t.dtype if t.dtype not in _TYPES else "unquantized" for t in wrong})
        why = f"{' and '.join(kinds)} tensors ({wrong[0].name[:40]!r}), expected 8-bit integers"
        found.append(Restriction("cpu", why))
    for tensor in op.tensors:
        if tensor.dynamic:
            found.append(Restriction("cpu", f"{tensor.name[:40]!r} has no constant size"))
        if not tensor.constant and any(size > 1 for size in tensor.shape[:-3]):
            shape = list(tensor.shape)
            found.append(Restriction("cpu", f"{shape}: only the 3 innermost sizes may be above 1"))
    return found


def _parameters(op: Operation, positions: tuple[int, ...]) -> Iterator[Restriction]:
    for position in positions:
        tensor = op.inputs[position] if position < len(op.inputs) else None
        if tensor is not None and not tensor.constant:
            yield Restriction("cpu", f"parameter {tensor.name[:40]!r} is no constant")


def _type_is_right(tensor: Tensor) -> bool:
    """8-bit and quantized; constants may also be 32-bit: biases, axes and shapes."""
    if tensor.dtype in _TYPES:
        return tensor.scales.size > 0
    return tensor.constant and tensor.dtype == "int32"
