"""What an exported file holds, read back from it: the long answer to what `kinds` gives a word for.

Both formats answer the same questions: which types do the tensors have, what stays float, are the
weights quantized per channel or per tensor, and did calibration data leave a trace.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgecnn.export.readback.anatomy_parts import Parts, Weight
from edgecnn.export.readback.kinds import read_kind
from edgecnn.export.readback.onnx_anatomy import onnx_parts
from edgecnn.export.readback.tflite_anatomy import tflite_parts
from edgecnn.records import Json, Record, computed

__all__ = ["Anatomy", "Weight", "read_anatomy"]


@dataclass(frozen=True)
class Anatomy(Record, Parts):
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
    kind = read_kind(data)
    parts: Parts = tflite_parts(data) if data[4:8] == b"TFL3" else onnx_parts(data)
    return Anatomy(kind=kind, **vars(parts))
