"""Compute the median and the 95th percentile of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgecnn.records import Json

__all__ = ["Percentiles"]


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile in milliseconds; 0 when there are no values."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        array = np.fromiter(values, np.float64)
        return cls(*map(float, np.percentile(array, (50, 95)))) if array.size else cls(0.0, 0.0)

    def to_json(self) -> Json:
        return {"p50": round(self.p50, 4), "p95": round(self.p95, 4)}

    def text(self) -> str:
        return f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms"
