"""What `edgecnn import` answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Artifact
from edgecnn.records import Record
from edgecnn.render.next_lines import camera_source, next_lines
from edgecnn.render.table import table

__all__ = ["ImportResult"]


@dataclass(frozen=True)
class ImportResult(Record):
    """The bundle, its one artifact, and what the file was found to want of pixels.

    `warnings` are lines on a file that may be fed wrongly or have its labels in another order.
    """

    bundle: Path
    artifact: Artifact
    lab: Tally
    normalize: str
    color: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The measured file, and what to do next."""
        a = self.artifact
        rows = [(a.file, a.kind, f"{a.bytes / 1000:.1f}", a.lab.text())]
        color = "" if self.color == "rgb" else f" --color {self.color}"
        return "\n".join(
            [
                table(("file", "kind", "kB", "lab accuracy"), rows),
                f"pixels: --normalize {self.normalize}{color}",
                *self._confidence(),
                *(f"note: {note}" for note in self.notes),
                *(f"warning: {warning}" for warning in self.warnings),
                "",
                *next_lines(
                    ("benchmark", self.bundle),
                    ("run", self.bundle, "--source", camera_source()),
                    wrote=self.bundle,
                ),
            ]
        )

    def _confidence(self) -> list[str]:
        """How far the confidence is from accuracy: `import` fits no temperature."""
        error = (self.artifact.confidence_error or {}).get("raw")
        if error is None:
            return []
        return [
            f"confidence is off by {100 * error:.1f} points on average on the lab images "
            "that were measured (no temperature is fitted)"
        ]
