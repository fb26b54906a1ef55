"""What `edgecnn export` is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgecnn.errors import ModelError
from edgecnn.export.compare_result import CompareOptions, Comparison
from edgecnn.export.foreign import ForeignOptions
from edgecnn.export.layers import LayerReport
from edgecnn.export.micro import MICRO, Micro
from edgecnn.export.onnx_format import ONNX_FILES
from edgecnn.export.repair_result import Repair
from edgecnn.export.tflite import TFLITE_FILES
from edgecnn.records import Artifact, Json, Tally
from edgecnn.text import table

__all__ = ["FORMATS", "ExportOptions", "ExportResult"]

FORMATS = {**TFLITE_FILES, **ONNX_FILES}


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    formats: names of FORMATS, and "micro" for the full-integer model as a C array. Of the whole
        set, one that the network can't be brought to is left out with a warning; in a choice of
        your own it is an error.
    integer_io: "uint8" or "int8", the input and output of the full-integer models.
    max_drop: points that an artifact may lose against the Keras model on the lab test images.
    name: the card's name; None keeps the model's.
    edgetpu: "auto" runs Google's edgetpu_compiler if it is on PATH, "off" never.
    foreign: what a Keras file of your own does not say: see foreign.ForeignOptions.
    compare: try each calibration set and their union, and take the best; None takes the union.
    repair: mend full-integer files that are not as good as the float model: see export.repair.
        A calibration set that would be refused is mended too, if that can be done.
    integer_only: of the repairs, leave out those whose file is not 8-bit throughout: an Edge TPU
        takes no other.
    """

    formats: tuple[str, ...] = tuple(FORMATS)
    integer_io: str = "uint8"
    max_drop: float | None = None
    name: str | None = None
    edgetpu: str = "auto"
    foreign: ForeignOptions | None = None
    compare: CompareOptions | None = None
    repair: bool = False
    integer_only: bool = False

    def __post_init__(self) -> None:
        # As typed, "a, b,a" names two formats.
        formats = tuple(dict.fromkeys(name.strip() for name in self.formats))
        object.__setattr__(self, "formats", formats)
        unknown = [f for f in self.formats if f not in (*FORMATS, MICRO)]
        if unknown or not self.formats:
            raise ModelError(
                f"unknown format {', '.join(unknown) or 'list (empty)'}; "
                f"expected some of {', '.join(FORMATS)}, {MICRO}"
            )
        if MICRO in formats and "tflite-full-integer" not in formats:
            raise ModelError(
                "micro is made of tflite-full-integer, which is not among the formats; name both"
            )
        if self.integer_io not in ("uint8", "int8"):
            raise ModelError(f"integer io is {self.integer_io!r}, expected 'uint8' or 'int8'")
        if self.edgetpu not in ("auto", "off"):
            raise ModelError(f"edgetpu is {self.edgetpu!r}, expected 'auto' or 'off'")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ModelError(f"max drop is {self.max_drop}, expected points from 0 to 100")
        if self.integer_only and not self.repair:
            raise ModelError(
                "integer only chooses among the repairs, and none is asked for; add --repair, or "
                "leave --integer-only out"
            )
        if self.compare and "onnx-full-integer" not in formats:
            others = tuple(b for b in self.compare.back_ends if b != "onnxruntime")
            object.__setattr__(self, "compare", replace(self.compare, back_ends=others))

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The formats that become artifacts of the bundle: all but micro."""
        return tuple(name for name in self.formats if name != MICRO)


@dataclass(frozen=True)
class ExportResult:
    """What was exported, and how it compares with the Keras model (`lab`).

    `kinds` says what each file really holds, by file: see quantization.describe_kinds.
    """

    bundle: Path
    lab: Tally
    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...]
    micro: Micro | None = None
    kinds: Json = field(default_factory=dict)
    comparison: Comparison | None = None
    layers: tuple[LayerReport, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def ok(self) -> bool:
        """No artifact loses more than `max_drop` points."""
        return all(artifact.ok for artifact in self.artifacts)

    def drop(self, artifact: Artifact) -> float:
        """Points of lab accuracy that an artifact loses against the Keras model."""
        return 100 * (self.lab.correct - artifact.lab.correct) / self.lab.total

    def to_json(self) -> Json:
        """`export --json`."""
        return {
            "bundle": str(self.bundle),
            "lab": self.lab.to_json(),
            "artifacts": [
                {**a.to_json(), "drop_points": round(self.drop(a), 3)} for a in self.artifacts
            ],
            "kinds": {file: entry["text"] for file, entry in self.kinds.items()},
            "edgetpu_predicted": self._edgetpu(),
            "layers": {r.file: [e.layer for e in r.worst()] for r in self.layers},
            "warnings": list(self.warnings),
            **({"repair": [r.to_json() for r in self.repairs]} if self.repairs else {}),
            **({"micro": self.micro.to_json()} if self.micro else {}),
            **({"compare": self.comparison.to_json()} if self.comparison else {}),
        }

    def to_text(self) -> str:
        """The export table, the warnings and what to do next."""
        rows = [self._row(artifact) for artifact in self.artifacts]
        headers = (
            "file",
            "kind",
            "kB",
            "lab accuracy",
            "95 %",
            "agreement",
            "max error",
            "drop",
            "",
        )
        lines = [self.comparison.to_text(), ""] if self.comparison else []
        lines += [f"Keras model: {self.lab.text()}", "", table(headers, rows), ""]
        lines += [*self._what_they_are(), *self._confidence()]
        lines += [self.micro.to_text(), ""] if self.micro else []
        lines += [line for r in self.repairs for line in (r.to_text(), "")]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [
            f"wrote {self.bundle}; next:",
            f"  edgecnn evaluate {self.bundle} FOLDER_OF_LABELLED_IMAGES",
            f"  edgecnn benchmark {self.bundle}",
            f"  edgecnn run {self.bundle} --source 0",
        ]
        return "\n".join(lines)

    def _row(self, artifact: Artifact) -> tuple[str, ...]:
        low, high = artifact.lab.interval
        return (
            artifact.file,
            artifact.kind,
            f"{artifact.bytes / 1000:.1f}",
            f"{100 * (artifact.lab.accuracy or 0):.2f} %",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"{100 * artifact.agreement:.2f} %",
            f"{artifact.max_output_error:.4f}",
            f"{self.drop(artifact):+.2f}",
            self._remark(artifact),
        )

    @staticmethod
    def _remark(artifact: Artifact) -> str:
        remarks = ["as its twin"] if artifact.kind.startswith("edgetpu") else []
        return "; ".join([*remarks, *([] if artifact.ok else ["drop too large"])])

    def _what_they_are(self) -> list[str]:
        """A line a file, read back from it, and what an Edge TPU would take."""
        lines = [f"{file}: {entry['text']}" for file, entry in self.kinds.items()]
        predicted = self._edgetpu()
        lines += [f"Edge TPU (predicted): {predicted}"] if predicted else []
        return [*lines, ""] if lines else []

    def _edgetpu(self) -> str | None:
        """The prediction for the full-integer model, the only one that it is for."""
        entry = self.kinds.get(TFLITE_FILES["tflite-full-integer"])
        return str(entry["edgetpu"]["text"]) if entry else None

    def _confidence(self) -> list[str]:
        """How far each artifact's confidence is from its accuracy, in one line."""
        errors = [a.confidence_error for a in self.artifacts if a.confidence_error]
        if not errors:
            return []
        worst = {k: 100 * max(error[k] for error in errors) for k in ("raw", "calibrated")}
        return [
            f"confidence is off by {worst['calibrated']:.1f} points at most on the lab test images "
            f"({worst['raw']:.1f} without the card's temperature)",
            "",
        ]
