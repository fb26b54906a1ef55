"""The result of a training run, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgecnn.accuracy.reject import Reject
from edgecnn.accuracy.tally import Tally
from edgecnn.accuracy.thing_rule import alike_lines
from edgecnn.records import Json, Record, Skipped, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.render.table import table
from edgecnn.train.also import Also
from edgecnn.train.assess import Breakdown, Verdict
from edgecnn.train.backbone.result import ProbeResult, SideTrial
from edgecnn.train.synthesis.result import Synthesis
from edgecnn.train.unlearned import Unlearned, unlearned_lines
from edgecnn.words import number

if TYPE_CHECKING:
    from edgecnn.train.augmentation.label_check import LabelCheck

__all__ = ["TrainResult"]


@dataclass(frozen=True)
class TrainResult(Record):
    """The result of a training run.

    splits        {"train": {"images": n, "groups": m}, "val": ..., "test": ...}
    train, val    accuracy on clean training and validation images; `lab` is that on the test split
    seconds       of this run, and of the epochs before it where it went on with a training
    temperature   divides the logits for the card's confidence; fitted on the validation images
    confidence_error  expected calibration error on the test split: {"raw", "calibrated"}
    reject        below which confidence an answer is none; None where no threshold holds
    worker        the name of this worker, if another one writes the folder
    class_counts  real training images of each label
    breakdowns    accuracy on the test split by class, by device and by columns of the manifest
    not_learned   the classes that the test split does not show to be learned
    network       {"name", "weights"}; for a named network also "source" and "licence"
    probe         the linear probe that a pretrained network started from
    sides         what the probe said of each side of the input; empty without a choice
    also          the field images that joined the training
    read          the lab's images
    unlabelled    the field images that the verdict read; `calibrate` can pick from them
    """

    model: Path
    lab: Tally
    train: Tally
    val: Tally
    seconds: float
    epochs: int
    best_epoch: int
    stopped_by: str
    splits: dict[str, Json]
    largest_group: int
    near_duplicates: int
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    temperature: float = 1.0
    confidence_error: dict[str, float] = field(default_factory=dict)
    reject: Reject | None = None
    class_counts: dict[str, int] = field(default_factory=dict)
    synthesis: Synthesis | None = None
    breakdowns: tuple[Breakdown, ...] = field(default=(), metadata=json_as(hidden=True))
    not_learned: tuple[Unlearned, ...] = ()
    verdict: Verdict | None = None
    label_checks: tuple[LabelCheck, ...] = ()
    network: Json = field(default_factory=dict)
    probe: ProbeResult | None = None
    sides: tuple[SideTrial, ...] = ()
    also: Also | None = None
    worker: str = field(default="", metadata=json_as(hidden=True))
    read: Path | None = field(default=None, metadata=json_as(hidden=True))
    unlabelled: Path | None = field(default=None, metadata=json_as(hidden=True))

    def to_json(self) -> Json:
        parts = {part.column: part.to_json() for part in self.breakdowns}
        return {**super().to_json(), "accuracy_by": parts}

    def to_text(self) -> str:
        """The result for a terminal."""
        if self.worker:
            done = number(self.epochs, "epoch")
            return f"{self.worker}: done, {done}; the first worker writes the model"
        tallies = {"train": self.train, "val": self.val, "test": self.lab}
        rows = [
            (name, split["images"], split["groups"], tallies[name].text())
            for name, split in self.splits.items()
        ]
        lines = [
            *unlearned_lines(self.not_learned, str(self.network.get("name"))),
            table(["split", "images", "groups", "accuracy"], rows),
            "",
            "A group holds near-duplicates, a burst or a device, and is in one split only "
            f"(largest: {number(self.largest_group, 'image')}).",
            *self.notes,
            *([self.also.to_text()] if self.also else []),
            *self._checks(),
        ]
        if self.skipped:
            lines.append(f"Skipped {len(self.skipped)} file(s):")
            lines += [f"  {s.file}: {s.reason}" for s in self.skipped[:5]]
            lines += ["  ..."] if len(self.skipped) > 5 else []
        chance = self._at_chance()
        useful = not chance and not self.not_learned
        lines += [
            *self._course(),
            *([f"\n{self.verdict.to_text(useful=useful)}"] if self.verdict else []),
            *([self.synthesis.to_text()] if self.synthesis else []),
            *(f"\n{part.to_text()}" for part in self.breakdowns),
            "",
            f"Lab accuracy: {self.lab.text()}",
            *alike_lines(self.lab.total, self.lab.worth),
            *self._untested(),
            *chance,
            *self._confidence(),
            *self._origin(),
            *next_lines(*self._next(), wrote=self.model),
        ]
        return "\n".join(lines)

    def _next(self) -> list[tuple[str | Path, ...]]:
        """Calibrating, where there are field images, and exporting.

        A whole field folder is not for `export`: `calibrate` leaves out the lab's own images.
        """
        target = ("-o", f"{self.model.name}.edgecnn")
        if self.unlabelled is None or self.read is None:
            return [("export", self.model, "--calibration", "FIELD", *target)]
        return [
            ("calibrate", self.unlabelled, "--lab", self.read, "-o", "calibration"),
            ("export", self.model, "--calibration", "calibration", *target),
        ]

    def _course(self) -> list[str]:
        """How the training went, and which weights the network has."""
        if self.probe is None:
            return [
                f"{number(self.epochs, 'epoch')} in {self.seconds:.0f} s (ended by "
                f"{self.stopped_by}); the weights are those of epoch {self.best_epoch}."
            ]
        if not self.epochs:
            late = ": no epoch of fine-tuning fits in the time left by --seconds"
            why = late if self.stopped_by == "time budget" else ""
            whole = f"The probe is the network{why}; {self.seconds:.0f} s in all."
            return [self.probe.to_text(), whole]
        side, kept = self.probe.imitated, "fine-tuned and probe's averaged half and half"
        if self.probe.kept:
            kept = f"the probe's: {'fine-tuning' if side else 'the average of both'} was worse"
        elif side:
            kept = "fine-tuned"
        aim = f" that imitates the features of {side} px" if side else ""
        return [
            self.probe.to_text(),
            f"{number(self.epochs, 'epoch')} of fine-tuning{aim}, {self.seconds:.0f} s in all "
            f"(ended by {self.stopped_by}); the weights are {kept}.",
        ]

    def _untested(self) -> list[str]:
        """Classes that no test image is of: lab accuracy says nothing of them."""
        by_class = next((part for part in self.breakdowns if part.column == "class"), None)
        tested = by_class.tallies if by_class else {}
        names = [label for label in self.class_counts if label not in tested]
        if not tested or not names:
            return []
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        return [f"No test image is of class {shown}: lab accuracy does not say how it is read."]

    def _at_chance(self) -> list[str]:
        """A network that is of no use yet is not sent on without a word."""
        most = max(self.class_counts.values(), default=0) / max(1, sum(self.class_counts.values()))
        if len(self.class_counts) < 2 or self.lab.interval[0] > most:
            return []
        above = self.lab.accuracy is not None and self.lab.accuracy > most
        return [
            f"That is {'not surely' if above else 'no'} better than naming the commonest class "
            f"({100 * most:.0f} % of the training images): before you export, "
            f"{'add images, ' if above else ''}train longer, or look at the labels with "
            "`edgecnn inspect`."
        ]

    def _checks(self) -> list[str]:
        """Summarize the label check; the notes name the operations that break labels."""
        if not self.label_checks:
            return []
        tried = [check for check in self.label_checks if check.before.total]
        kept = sum(check.keeps is True for check in tried)
        unsure = [check.name for check in tried if check.keeps is None]
        left = [check.name for check in self.label_checks if not check.before.total]
        lines = []
        if tried:
            lines.append(
                f"Label check: {kept} of {len(tried)} operations of the augmentation keep the "
                f"labels of {tried[0].before.total} training images, by a quick probe (a hint, "
                "not a proof; figures in card.json)."
            )
        if unsure:
            lines.append(f"  Undecided: {', '.join(unsure)}.")
        if left:
            lines.append(
                "Label check: for lack of time (it may take a tenth of the training) it left out "
                f"{', '.join(left) if tried else 'all operations'}."
            )
        return lines

    def _origin(self) -> list[str]:
        if "source" not in self.network:
            return []
        licence = self.network.get("licence")
        return [
            f"Network: {self.network['name']}, weights: {self.network['weights']} "
            f"({self.network['source']}{f', {licence}' if licence else ''})."
        ]

    def _confidence(self) -> list[str]:
        if not self.confidence_error:
            return []
        raw, calibrated = (100 * self.confidence_error[k] for k in ("raw", "calibrated"))
        return [
            f"Confidence is off by {calibrated:.1f} points on average on the test images "
            f"({raw:.1f} without the temperature of {self.temperature:.2f}).",
            f"In a simulated field `run --reject card` rejects {self.reject.text()}."
            if self.reject
            else "`run --reject card` is refused, for no threshold could be shown to hold in a "
            "simulated field; give a number such as --reject 0.6.",
        ]
