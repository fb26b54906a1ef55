"""A step of the ledger: what one cause costs, in points, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import paired_difference
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.estimate import LabConfidence
from edgecnn.records import Record

__all__ = [
    "DEVICE_PATH",
    "QUANTIZATION",
    "UNEXPLAINED",
    "Lab",
    "Residual",
    "Step",
    "paired_step",
    "tally_of",
]


QUANTIZATION = "quantization (lab float -> lab quantized)"


DEVICE_PATH = "device path (lab quantized -> lab through the device path)"


UNEXPLAINED = "not explained yet: field conditions, class mix, labels, steps not measured"


@dataclass(frozen=True)
class Step(Record):
    """One line of the ledger; `points`, `low` and `high` in accuracy points."""

    cause: str
    points: float
    low: float
    high: float
    evidence: str


@dataclass(frozen=True)
class Lab:
    """What the lab images say: float accuracy, the steps, and the accuracy after them.

    `quantized` is the accuracy of the session's artifact, `reached` that of the last step.
    """

    float_tally: Tally
    quantized: Tally
    reached: Tally
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    confidence: LabConfidence | None = None


@dataclass(frozen=True)
class Residual:
    """What is left of the gap after the steps, in points; None without field labels."""

    points: float | None
    low: float | None
    high: float | None


def tally_of(correct: np.ndarray) -> Tally:
    return Tally(int(correct.sum()), len(correct))


def paired_step(
    cause: str, before: np.ndarray, after: np.ndarray, how: str, hint: str = ""
) -> Step:
    low, high = paired_difference(before, after)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return Step(
        cause,
        100 * (lost - won) / len(before),
        100 * low,
        100 * high,
        f"{how} {len(before)} lab test images: {lost} lost, {won} won{hint}",
    )
