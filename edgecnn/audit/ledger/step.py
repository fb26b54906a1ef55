"""A step of the ledger: what one cause costs, in points, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot

import numpy as np

from edgecnn.accuracy.intervals import paired_difference
from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as

__all__ = ["FULL", "Step", "added", "lost_points"]

FULL = 95
"""Percent that the interval of a step holds, but where its evidence says how many."""


@dataclass(frozen=True)
class Step(Record):
    """One line of the ledger; `points`, `low` and `high` in accuracy points.

    holds   percent: of what the interval is; the evidence says of what where it is not 95
    """

    cause: str
    points: float
    low: float
    high: float
    evidence: str
    holds: int = field(default=FULL, metadata=json_as(hidden=True))

    @property
    def interval(self) -> str:
        """As the ledger prints it."""
        other = "" if self.holds == FULL else f" ({self.holds} %)"
        return f"{self.low:+.2f} to {self.high:+.2f}{other}"

    @classmethod
    def paired(
        cls,
        cause: str,
        before: np.ndarray,
        after: np.ndarray,
        how: str,
        *,
        what: str = "lab test images",
        whole: Tally | None = None,
    ) -> Step:
        """A step between two answers to each of some images.

        Args:
            before, after: bool, shape (n,): which images were answered right.
            how: The evidence, before the counts.
            what: The images.
            whole: See `paired_difference`.
        """
        low, high = paired_difference(before, after, whole)
        change = Paired.of(before, after)
        return cls(
            cause,
            100 * (change.lost - change.won) / len(before),
            100 * low,
            100 * high,
            f"{how} {len(before)} {what}: {change.lost} lost, {change.won} won",
        )


def added(parts: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The sum of some figures with its interval, from theirs: (points, low, high) each.

    Example:
        >>> added([(10.0, 7.0, 13.0), (5.0, 1.0, 9.0)])
        (15.0, 10.0, 20.0)

    Source: Zou & Donner 2008, doi:10.1002/sim.3095.
    """
    points = sum(point for point, _, _ in parts)
    below = hypot(*(point - low for point, low, _ in parts))
    above = hypot(*(high - point for point, _, high in parts))
    return points, points - below, points + above


def lost_points(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], shares: Sequence[float]
) -> tuple[float, float, float]:
    """Points lost between two answers to each of some frames of several sessions, with their 95 %
    interval: (points, low, high).

    Args:
        pairs: Of each session which frames were answered right before and after: bool, shape (n,).
        shares: The part of the live figure that each session is.

    Example:
        >>> right, wrong = np.ones(20, bool), np.zeros(20, bool)
        >>> lost_points([(right, wrong), (right, right)], [0.25, 0.75])[0]
        25.0
    """
    parts = []
    for (before, after), share in zip(pairs, shares, strict=True):
        lost = float(before.mean() - after.mean()) if len(before) else 0.0
        low, high = paired_difference(before, after)
        parts.append((100 * share * lost, 100 * share * low, 100 * share * high))
    return added(parts)
