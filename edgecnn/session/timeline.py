"""Labels along a line of frame numbers or times, and the doubtful moments around their changes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Span", "Timeline", "guard_width"]


@dataclass(frozen=True)
class Span:
    """start <= key < end: from one change of the label to the next."""

    start: float
    end: float
    label: str


class Timeline:
    """Which label holds when.

    Args:
        spans: In order; none overlaps another.

    Example:
        >>> line = Timeline([Span(0, 5, "cat"), Span(5, 9, "dog")])
        >>> line.find(5), line.find(9), line.is_near_change(4.8, 0.5), line.is_near_change(2, 0.5)
        ('dog', None, True, False)
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = tuple(spans)
        self._starts = [span.start for span in spans]
        edges = {edge for span in spans for edge in (span.start, span.end)}
        same = {b.start for a, b in pairwise(spans) if a.end == b.start and a.label == b.label}
        # Nothing came before the start of the source, so nothing changes there.
        self._changes = sorted(edge for edge in edges - same if edge > 0)

    def find(self, key: float) -> str | None:
        """The label that holds at a key, or None."""
        at = bisect_right(self._starts, key) - 1
        return self._spans[at].label if at >= 0 and key < self._spans[at].end else None

    def is_near_change(self, key: float, width: float) -> bool:
        """Whether the label changes less than `width` before or after a key."""
        at = bisect_left(self._changes, key)
        return any(abs(key - change) < width for change in self._changes[max(0, at - 1) : at + 1])


def guard_width(ages_ms: Iterable[float], steps_s: Iterable[float]) -> float:
    """How far from a change of the label a frame is doubtful, in seconds.

    The age of a frame (95th percentile) plus one frame: a truth by time can't say which of the
    frames within that shows which label.

    Args:
        ages_ms: From capture to answer.
        steps_s: From each frame to the next.
    """
    ages, steps = (np.fromiter(values, np.float64) for values in (ages_ms, steps_s))
    age_ms = float(np.percentile(ages, 95)) if len(ages) else 0.0
    return age_ms / 1000 + (float(np.median(steps)) if len(steps) else 0.0)
