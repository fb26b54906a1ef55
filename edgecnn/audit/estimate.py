"""What can be said of field accuracy without field labels: a band, under a named assumption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgecnn.bundle.folder import LabTestRow
from edgecnn.records import Record

__all__ = ["Estimate", "LabConfidence", "estimate_accuracy"]

ASSUMED = "assumes calibrated confidence"
UNKNOWN = "not identified"
# A band wider than this, or methods that differ by more, say nothing.
_WIDEST = 0.5
_MARGIN = 0.02
# Confidence is logged with six digits: what differs by less counts as equal.
_SAME = 1e-6


@dataclass(frozen=True)
class LabConfidence:
    """Calibrated confidence, float32 (n,), and right answers, bool (n,), on lab test images."""

    confidence: np.ndarray
    correct: np.ndarray

    @classmethod
    def of_rows(cls, rows: Sequence[LabTestRow], column: str) -> LabConfidence | None:
        """As the bundle holds it for an artifact; None in a bundle of version 0.1."""
        if not rows or column not in rows[0].confidence:
            return None
        confidence = np.array([row.confidence[column] for row in rows], np.float32)
        return cls(confidence, np.array([row.predicted[column] == row.label for row in rows]))


@dataclass(frozen=True)
class Estimate(Record):
    """A band for the field accuracy, fractions in [0, 1]. Not a confidence interval.

    `methods` holds the single estimates that the band was drawn around; `why` says what stops a
    band that is not identified.
    """

    low: float
    high: float
    flag: str
    methods: dict[str, float] = field(default_factory=dict)
    why: str = ""

    def to_text(self) -> str:
        """One line: '88.1-97.0 %, by the answers alone ...', or why there is no band."""
        if self.flag == UNKNOWN:
            return f"{UNKNOWN}: {self.why}"
        return (
            f"{self.range}, by the answers alone: without labels, and as if confidence were as "
            "true in the field as in the lab"
        )

    @property
    def range(self) -> str:
        """The band in percent: '88.1-97.0 %'."""
        return f"{100 * self.low:.1f}-{100 * self.high:.1f} %"


def estimate_accuracy(
    confidence: np.ndarray,
    lab_accuracy: float,
    lab: LabConfidence | None = None,
    weight: np.ndarray | None = None,
) -> Estimate:
    """Estimate field accuracy from the device's answers alone.

    average_confidence        mean calibrated confidence of the field frames
    difference_of_confidence  lab accuracy + (field mean - lab mean); needs `lab`
    threshold                 share of field frames above the confidence that as many lab
                              images exceed as are answered right (ATC); needs `lab`

    Estimated losses are known to be about half the true loss on real devices, so the band
    doubles the largest: lab - 2 (lab - lowest) - 2 points up to highest + 2 points.

    Args:
        confidence: float32, shape (n,): calibrated, of the field frames. All that this function is
            given of the field, so no label.
        lab_accuracy: Of the artifact on the lab test images, in [0, 1].
        lab: The artifact's confidence on lab images, where it was measured.
        weight: float, shape (n,): for how many field frames each stands; None where the log
            leaves none out.

    Source: Guillory et al. 2021, arXiv:2107.03315; Garg et al. 2022, arXiv:2201.04234.
    """
    if not len(confidence) or float(np.ptp(confidence)) == 0:
        why = "all answers are equally sure" if len(confidence) else "no frame was answered"
        return Estimate(0.0, 1.0, UNKNOWN, why=why)
    methods = {"average_confidence": _mean(confidence, weight)}
    if lab is not None and len(lab.confidence):
        lab_accuracy = float(lab.correct.mean())
        shift = methods["average_confidence"] - float(lab.confidence.mean())
        methods["difference_of_confidence"] = min(1.0, max(0.0, lab_accuracy + shift))
        threshold = float(np.quantile(lab.confidence, 1 - lab_accuracy))
        methods["threshold"] = _mean(confidence > threshold + _SAME, weight)
    lowest, highest = min(methods.values()), max(methods.values())
    low = max(0.0, lab_accuracy - 2 * max(0.0, lab_accuracy - lowest) - _MARGIN)
    high = min(1.0, highest + _MARGIN)
    if high - low > _WIDEST:
        why = f"the confidence of the answers allows for {100 * low:.0f} to {100 * high:.0f} %"
        return Estimate(low, high, UNKNOWN, methods, why)
    return Estimate(low, high, ASSUMED, methods)


def _mean(values: np.ndarray, weight: np.ndarray | None) -> float:
    return float(values.mean() if weight is None else np.average(values, weights=weight))
