"""What a repair did, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.judge import FileVerdict
from edgecnn.export.readback.layers import LayerReport
from edgecnn.records import Json

__all__ = ["Repair", "RepairStep"]


@dataclass(frozen=True)
class RepairStep:
    """One file that was tried. what: what was done, or why the step was left out (no verdict)."""

    step: str
    what: str
    verdict: FileVerdict | None
    kept: bool

    def to_json(self) -> Json:
        verdict = None if self.verdict is None else self.verdict.to_json()
        return {"step": self.step, "what": self.what, "kept": self.kept, "measured": verdict}

    def text(self) -> str:
        if self.verdict is None:
            return f"{self.step}: {self.what}"
        mark = "kept" if self.kept else "no better, dropped"
        return f"{self.step}: {self.what}: {self.verdict.text()} ({mark})"


@dataclass(frozen=True)
class Repair:
    """The best file of the ladder.

    evidence: what spoke against the first file or its images, found without labels.
    done: the repairs that the final file contains, without what was tried in vain or superseded.
    layers: the file against the float network that it was made from (equalized, say).
    """

    format: str
    file: str
    data: bytes
    verdict: FileVerdict
    steps: tuple[RepairStep, ...]
    evidence: tuple[str, ...]
    done: tuple[str, ...]
    lab_images_used: int
    recipe: Recipe
    layers: LayerReport

    @property
    def ok(self) -> bool:
        """The gate holds."""
        return self.verdict.ok

    @property
    def healthy(self) -> bool:
        """Nothing was amiss to begin with."""
        return not self.evidence and len(self.steps) == 1 and self.ok

    def to_json(self) -> Json:
        """An entry of quantization.json's "repair"."""
        return {
            "format": self.format,
            "file": self.file,
            "ok": self.ok,
            "evidence": list(self.evidence),
            "done": list(self.done),
            "lab_images_used": self.lab_images_used,
            "worst": self._worst(),
            "steps": [step.to_json() for step in self.steps],
        }

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
