"""Compute the median and the 95th percentile of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edgecnn.records import Record, json_as

__all__ = ["Percentiles", "RecentTimes"]


@dataclass(frozen=True)
class Percentiles(Record):
    """Median and 95th percentile in milliseconds; 0 when there are no values."""

    p50: float = field(metadata=json_as(digits=4))
    p95: float = field(metadata=json_as(digits=4))

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        array = values if isinstance(values, np.ndarray) else np.fromiter(values, np.float64)
        return cls(*map(float, np.percentile(array, (50, 95)))) if array.size else cls(0.0, 0.0)

    def text(self) -> str:
        return f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms"


class RecentTimes:
    """The newest times, in milliseconds, at most 10,000: memory stays the same for days."""

    def __init__(self) -> None:
        self._values = np.zeros(10_000)
        self._count = 0

    def add(self, ms: float) -> None:
        self._values[self._count % len(self._values)] = ms
        self._count += 1

    @property
    def percentiles(self) -> Percentiles:
        return Percentiles.of(self._values[: self._count])
