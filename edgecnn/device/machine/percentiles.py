"""Compute the median and the 95th percentile of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edgecnn.records import Record, json_as

__all__ = ["Percentiles"]


@dataclass(frozen=True)
class Percentiles(Record):
    """Median and 95th percentile in milliseconds; 0 when there are no values."""

    p50: float = field(metadata=json_as(digits=4))
    p95: float = field(metadata=json_as(digits=4))

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        array = np.fromiter(values, np.float64)
        return cls(*map(float, np.percentile(array, (50, 95)))) if array.size else cls(0.0, 0.0)

    def text(self) -> str:
        return f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms"
