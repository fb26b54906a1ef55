"""What the linear probe found, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record

__all__ = ["LargerInput", "ProbeResult", "SideTrial"]


@dataclass(frozen=True)
class ProbeResult(Record):
    """The classifier on frozen features that a pretrained network starts from.

    cross_validated  right answers to training images that the probe did not see; images of a
                     group are seen together or not at all
    views            how often each training image was used: as it is, mirrored, relit
    penalty          inverse strength of the L2 penalty (scikit-learn's C)
    kept             whether the network kept it, because fine-tuning was not tried or not better
    imitated         side in pixels of the larger input whose features fine-tuning imitated; 0: none
    """

    cross_validated: Tally
    views: int
    penalty: float
    seconds: float
    kept: bool = True
    imitated: int = 0

    def to_text(self) -> str:
        """One line."""
        views = "" if self.views == 1 else f", on {self.views} views of each image"
        return (
            f"Probe (a new classifier, all other weights as they were{views}): "
            f"{self.cross_validated.text()}, cross-validated on the training images, "
            f"in {self.seconds:.0f} s."
        )


@dataclass(frozen=True)
class SideTrial(Record):
    """The probe at one side of the input.

    accuracy  cross-validated on up to 400 training images
    loss      mean log loss on the same images
    ms        milliseconds an image on this machine, in batches
    """

    side: int
    accuracy: Tally
    loss: float
    ms: float


@dataclass(frozen=True)
class LargerInput(Record):
    """An input that the probe reads the same training images better at than at the run's own.

    Better: by the log loss, see `choose_side`.
    """

    taken: SideTrial
    better: SideTrial

    def to_text(self) -> str:
        """One line: what it reads, its price, and what to do."""
        taken, better = self.taken, self.better
        side = better.side
        return (
            f"Small input: a probe on {better.accuracy.total} of the training images alone reads "
            f"{better.accuracy.percent} of them at {side} px and {taken.accuracy.percent} at "
            f"{taken.side} px (cross-validated; {better.ms / taken.ms:.1f} times the time an "
            f"image). Take --width {side} --height {side}."
        )
