"""What a repair did, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.judge import FileVerdict
from edgecnn.export.readback.layers import LayerReport
from edgecnn.records import Json, Record, computed, json_as

__all__ = ["Repair", "RepairStep"]


@dataclass(frozen=True)
class RepairStep(Record):
    """One file that was tried. what: what was done, or why the step was left out (no verdict)."""

    step: str
    what: str
    verdict: FileVerdict | None = field(metadata=json_as("measured"))
    kept: bool

    def text(self) -> str:
        if self.verdict is None:
            return f"{self.step}: {self.what}"
        mark = "kept" if self.kept else "no better, dropped"
        return f"{self.step}: {self.what}: {self.verdict.text()} ({mark})"


@dataclass(frozen=True)
class Repair(Record):
    """The best file of the ladder.

    evidence: what spoke against the first file or its images, found without labels.
    done: the repairs that the final file contains, without what was tried in vain or superseded.
    layers: the file against the float network that it was made from (equalized, say).
    """

    format: str
    file: str
    data: bytes = field(metadata=json_as(hidden=True))
    verdict: FileVerdict = field(metadata=json_as(hidden=True))
    steps: tuple[RepairStep, ...]
    evidence: tuple[str, ...]
    done: tuple[str, ...]
    lab_images_used: int
    recipe: Recipe = field(metadata=json_as(hidden=True))
    layers: LayerReport = field(metadata=json_as(hidden=True))

    @property
    @computed
    def ok(self) -> bool:
        """The gate holds."""
        return self.verdict.ok

    @property
    def healthy(self) -> bool:
        """Nothing was amiss to begin with."""
        return not self.evidence and len(self.steps) == 1 and self.ok

    def to_json(self) -> Json:
        """An entry of quantization.json's "repair"."""
        return {**super().to_json(), "worst": self._worst()}

    def warnings(self) -> list[str]:
        """One line for the result, one more where the lab figure is touched."""
        if self.healthy:
            return []
        did = "; ".join(self.done) or "nothing helped"
        found = "; ".join(self.evidence) or "lost lab answers"
        line = f"{self.file}: found: {found}; done: {did}; now {self.verdict.text()}"
        if not self.ok:
            enough = f"{100 * HEALTHY_AGREEMENT:.0f} %"
            line += f" (expected {enough}): most is lost in {', '.join(self._worst())}"
        lines = [line]
        if self.lab_images_used:
            lines.append(
                f"{self.file}: {self.lab_images_used} lab test images helped to calibrate, so its "
                "lab accuracy in the table is a little too good; the drop above is of the "
                f"{self.verdict.lab_images} others"
            )
        return lines

    def to_text(self) -> str:
        """The ladder, a line a step."""
        return "\n".join([f"{self.format}:", *(f"  {step.text()}" for step in self.steps)])

    def _worst(self) -> list[str]:
        return [error.layer for error in self.layers.worst()]
