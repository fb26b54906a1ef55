"""What the linear probe found, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record

__all__ = ["ProbeResult", "SideTrial"]


@dataclass(frozen=True)
class ProbeResult(Record):
    """The classifier on frozen features that a pretrained network starts from.

    cross_validated  right answers to training images that the probe did not see; images of a
                     group are seen together or not at all
    views            how often each training image was used: as it is, mirrored, relit
    penalty          inverse strength of the L2 penalty (scikit-learn's C)
    kept             whether the network kept it, because fine-tuning was not tried or not better
    """

    cross_validated: Tally
    views: int
    penalty: float
    seconds: float
    kept: bool = True

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
