"""Whether images of a rare class that a generator made are kept, and by which figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as

__all__ = ["ARMS", "Arm", "Synthesis"]

# What is trained and compared; "repeated" has as many copies of real images instead.
ARMS = ("plain", "repeated", "synthetic")


@dataclass(frozen=True)
class Arm(Record):
    """Recall of the rare classes, and accuracy, on the validation images, over some trainings.

    Intervals count each image once, however many trainings judged it.
    """

    recall: Tally
    accuracy: Tally


@dataclass(frozen=True)
class Synthesis(Record):
    """What came of `synthesize`.

    labels      the rare classes
    real, made  training images of each that are real, and that were made
    kept        whether the latter are trained on
    reason      why, in a clause
    arms        of ARMS; empty when there was nothing to compare
    better, worse   validation images of the rare classes that more, or fewer, trainings read
                right with the made images than without
    p           of a gain this clear by chance: one-sided exact sign test over these images
    trainings   of each arm
    steps       of the generator's training
    """

    labels: tuple[str, ...]
    real: tuple[int, ...]
    made: tuple[int, ...]
    kept: bool
    reason: str
    arms: dict[str, Arm] = field(default_factory=dict, metadata=json_as("validation"))
    better: int = 0
    worse: int = 0
    p: float | None = None
    trainings: int = 0
    steps: int = 0
    seconds: float = 0.0

    def to_text(self) -> str:
        """The decision with its figures, as a person reads it."""
        made = ", ".join(
            f"{made} of {label} beside {real} real ones"
            for label, real, made in zip(self.labels, self.real, self.made, strict=True)
        )
        lines = [
            f"Synthetic images ({made}): {'kept' if self.kept else 'rejected'}, {self.reason}."
        ]
        if self.arms:
            lines += [
                f"  Validation, {self.trainings} short trainings each; recall of "
                f"{' and '.join(self.labels)}, then accuracy:",
                *(
                    f"  {name:9}  {arm.recall.text()}; {arm.accuracy.text()}"
                    for name, arm in self.arms.items()
                ),
                f"  Images of {' and '.join(self.labels)} read better: {self.better}, worse: "
                f"{self.worse}; exact sign test p = {self.p:.3f}.",
                f"  Generator: {self.steps} steps; {self.seconds:.0f} s with the trainings. Real "
                "and made images side by side: synthetic.png.",
            ]
        return "\n".join(lines)
