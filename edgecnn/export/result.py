"""What `edgecnn export` is asked for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.bundle.card import Artifact
from edgecnn.export.calibration.result import Comparison
from edgecnn.export.readback.layers import LayerReport
from edgecnn.export.repair.result import Repair
from edgecnn.export.targets.micro import Micro
from edgecnn.records import Json, encode
from edgecnn.render.next_lines import camera_source, next_lines
from edgecnn.render.table import table

__all__ = ["ExportResult"]


@dataclass(frozen=True)
class ExportResult:
    """What was exported, and how it compares with the Keras model (`lab`).

    `kinds` says what each file really holds, by file: see `readback.anatomy.Anatomy`.
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
        found = {
            "bundle": self.bundle,
            "lab": self.lab,
            "artifacts": [
                {**a.to_json(), "drop_points": round(self.drop(a), 3)} for a in self.artifacts
            ],
            "kinds": {file: entry["text"] for file, entry in self.kinds.items()},
            "edgetpu_predicted": self._edgetpu(),
            "layers": {r.file: [e.layer for e in r.worst()] for r in self.layers},
            "warnings": self.warnings,
        }
        more = {"repair": self.repairs, "micro": self.micro, "compare": self.comparison}
        asked = {key: value for key, value in more.items() if value}
        return {key: encode(value) for key, value in (found | asked).items()}

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
            "time",
            "",
        )
        lines = [self.comparison.to_text(), ""] if self.comparison else []
        lines += [f"Keras model: {self.lab.text()}", "", table(headers, rows), ""]
        lines += [*self._what_they_are(), *self._confidence()]
        lines += [self.micro.to_text(), ""] if self.micro else []
        lines += [line for r in self.repairs for line in (r.to_text(), "")]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [
            *next_lines(
                ("evaluate", self.bundle, "FOLDER_OF_LABELLED_IMAGES"),
                ("benchmark", self.bundle),
                ("run", self.bundle, "--source", camera_source()),
                wrote=self.bundle,
            )
        ]
        return "\n".join(lines)

    def _row(self, artifact: Artifact) -> tuple[str, ...]:
        low, high = artifact.lab.interval
        remarks = ["twin's"] if artifact.kind.startswith("edgetpu") else []
        remarks += [] if artifact.ok else ["drop too large"]
        return (
            artifact.file,
            artifact.kind,
            f"{artifact.bytes / 1000:.1f}",
            f"{100 * (artifact.lab.accuracy or 0):.2f} %",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"{100 * artifact.agreement:.2f} %",
            f"{artifact.max_output_error:.4f}",
            f"{self.drop(artifact):+.2f}",
            "" if artifact.time_ratio is None else f"{artifact.time_ratio:.2f}x",
            "; ".join(remarks),
        )

    def _what_they_are(self) -> list[str]:
        """A line a file, read back from it, and what an Edge TPU would take."""
        lines = [f"{file}: {entry['text']}" for file, entry in self.kinds.items()]
        predicted = self._edgetpu()
        lines += [f"Edge TPU (predicted): {predicted}"] if predicted else []
        return [*lines, ""] if lines else []

    def _edgetpu(self) -> str | None:
        """The prediction for the full-integer model, the only one that it is for."""
        entry = self.kinds.get(FULL_INTEGER.file)
        return str(entry["edgetpu"]["text"]) if entry else None

    def _confidence(self) -> list[str]:
        """How far each artifact's confidence is from its accuracy, in one line."""
        errors = [a.confidence_error for a in self.artifacts if a.confidence_error]
        if not errors:
            return []
        worst = {k: 100 * max(error[k] for error in errors) for k in ("raw", "calibrated")}
        # A model of the user's own has none.
        raw = f" ({worst['raw']:.1f} without the card's temperature)"
        return [
            f"confidence is off by {worst['calibrated']:.1f} points on average on the lab test "
            f"images, of the worst file{raw if worst['raw'] != worst['calibrated'] else ''}",
            "",
        ]
