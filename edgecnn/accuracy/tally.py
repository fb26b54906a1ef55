"""A count of right answers with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from edgecnn.accuracy.quantiles import beta_quantile
from edgecnn.records import Json, Record, computed, json_as

__all__ = ["Tally", "are_apart", "gap_points"]

_OUTSIDE = 0.025
_NONE = 1e-9
_APART_POINTS = 0.5


@dataclass(frozen=True)
class Tally(Record):
    """A count of right answers with its 95 % interval.

    `effective` is the number of independent answers that `total` is worth when frames of a
    video repeat each other; None when every answer stands for itself. `estimate` is the accuracy
    where answers count by weights; None where each counts once.

    Example:
        >>> Tally(9, 10)
        Tally(90.0 % of 10, 95 % interval 61.9-98.9)
    """

    correct: int
    total: int
    effective: float | None = field(default=None, metadata=json_as(if_any=True))
    estimate: float | None = field(default=None, metadata=json_as(if_any=True))

    @classmethod
    def of(cls, correct: np.ndarray) -> Tally:
        """Count right answers: bool, shape (n,)."""
        return cls(int(correct.sum()), len(correct))

    @property
    @computed
    def accuracy(self) -> float | None:
        """Fraction in [0, 1], or None when nothing was counted."""
        if self.estimate is not None:
            return self.estimate
        return self.correct / self.total if self.total else None

    @property
    def worth(self) -> float:
        """How many independent answers these count like: all where nothing says how many."""
        return self.total if self.effective is None else self.effective

    @property
    def repeats(self) -> bool:
        """Whether answers repeat each other so much that they count like fewer, as printed."""
        return round(self.worth) != self.total

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Jeffreys interval at 95 %; (0, 1) for no data.

        Near 1, where most classifiers are, it covers 95 % where Wilson's falls to 90. Where under
        one independent answer is wrong (or right) it passes into the exact interval of Clopper &
        Pearson, which it reaches where all are right: Jeffreys' alone is too narrow there.

        Source: Brown, Cai & DasGupta 2001, doi:10.1214/ss/1009213286 (both, and the modification).
        """
        n, p = self.worth, self.accuracy
        if p is None or n <= 0:
            return (0.0, 1.0)
        right, wrong = n * p, n * (1 - p)
        low, high = 0.0, 1.0
        if right > _NONE:
            half = min(1.0, wrong) / 2
            low = beta_quantile(_OUTSIDE, right + half, wrong + 1 - half)
        if wrong > _NONE:
            half = min(1.0, right) / 2
            high = beta_quantile(1 - _OUTSIDE, right + 1 - half, wrong + half)
        return (min(p, low), max(p, high))

    @property
    def percent(self) -> str:
        """The accuracy as a person reads it: '94.3 %', or '-' when nothing was counted."""
        return "-" if self.accuracy is None else f"{100 * self.accuracy:.1f} %"

    @property
    def range(self) -> str:
        """The interval as a person reads it, in percent: '91.8-96.1'."""
        low, high = self.interval
        return f"{100 * low:.1f}-{100 * high:.1f}"

    def worth_as(self, whole: Tally) -> Tally:
        """This count of a part of what `whole` counts: an answer is worth what one is worth there.

        Example:
            >>> Tally(9, 10).worth_as(Tally(90, 100, effective=50.0)).worth
            5.0
        """
        if whole.effective is None or not self.total:
            return self
        share = self.total / max(1, whole.total)
        return replace(self, effective=max(1.0, whole.effective * share))

    def __add__(self, other: Tally) -> Tally:
        both = self.effective is None and other.effective is None
        effective = None if both else self.worth + other.worth
        return Tally(self.correct + other.correct, self.total + other.total, effective)

    def __repr__(self) -> str:
        return f"Tally({self.text()})"

    def text(self) -> str:
        """As a person reads it: '94.3 % of 450, 95 % interval 91.8-96.1'."""
        if self.accuracy is None:
            return "no labelled frames"
        worth = f" (worth {self.worth:.0f} independent)" if self.repeats else ""
        counted = f"of {self.total}" if self.estimate is None else f"from {self.total} labels"
        return f"{self.percent} {counted}{worth}, 95 % interval {self.range}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """Read one.

        Raises:
            KeyError, TypeError, ValueError: It is something else, or counts more than there is.
        """
        tally = super().from_json(data)
        if not 0 <= tally.correct <= tally.total:
            raise ValueError(f"correct is {tally.correct} of a total of {tally.total}")
        return tally

    def to_json(self) -> Json:
        low, high = self.interval
        return {**super().to_json(), "low": low, "high": high}


def gap_points(lab: Tally, live: Tally) -> float | None:
    """100 x (lab accuracy - live accuracy), or None when one is unknown."""
    if lab.accuracy is None or live.accuracy is None:
        return None
    return 100 * (lab.accuracy - live.accuracy)


def are_apart(lab: Tally, lab_file: Tally) -> bool:
    """Whether the file that runs has another lab accuracy than the network: half a point or more.

    Both are then shown. They are counted on the same images, so no interval is needed.
    """
    points = gap_points(lab, lab_file)
    return points is not None and abs(points) >= _APART_POINTS
