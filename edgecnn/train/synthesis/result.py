"""The decision about synthetic images of rare classes, and its figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as

__all__ = ["ARMS", "Arm", "Synthesis"]

# The compared trainings; "repeated" has copies of real images in place of synthetic ones.
ARMS = ("plain", "repeated", "synthetic")


@dataclass(frozen=True)
class Arm(Record):
    """Recall of the rare classes, and accuracy, on the validation images over all trainings.

    Intervals count each image once, not once for each training.
    """

    recall: Tally
    accuracy: Tally


@dataclass(frozen=True)
class Synthesis(Record):
    """The decision about synthetic images.

    labels      the rare classes
    real, made  number of real, and of synthetic, training images of each
    kept        whether the network trains on the synthetic images
    arms        the figures of each of ARMS; empty when nothing was compared
    better, worse   number of validation images of the rare classes that more, or fewer, trainings
                read correctly with synthetic images than without
    p           chance of so clear a gain by luck: one-sided exact sign test over these images
    steps       steps of the generator's training
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
        """The decision and its figures for a terminal."""
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
                f"  Generator: {self.steps} steps; {self.seconds:.0f} s with the trainings. "
                "synthetic.png shows real and synthetic images side by side.",
            ]
        return "\n".join(lines)
