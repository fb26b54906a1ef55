"""A step of the ledger: what one cause costs, in points, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import paired_difference
from edgecnn.accuracy.paired import Paired
from edgecnn.records import Record

__all__ = ["Step"]


@dataclass(frozen=True)
class Step(Record):
    """One line of the ledger; `points`, `low` and `high` in accuracy points."""

    cause: str
    points: float
    low: float
    high: float
    evidence: str

    @classmethod
    def paired(
        cls,
        cause: str,
        before: np.ndarray,
        after: np.ndarray,
        how: str,
        *,
        what: str = "lab test images",
    ) -> Step:
        """A step between two answers to each of some images.

        Args:
            before, after: bool, shape (n,): which images were answered right.
            how: The evidence, before the counts.
            what: The images.
        """
        low, high = paired_difference(before, after)
        change = Paired.of(before, after)
        return cls(
            cause,
            100 * (change.lost - change.won) / len(before),
            100 * low,
            100 * high,
            f"{how} {len(before)} {what}: {change.lost} lost, {change.won} won",
        )
