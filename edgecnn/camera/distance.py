"""Measure how far apart two sets of frames are in their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.camera.statistics import STATISTICS

__all__ = ["Distance", "noise_floor", "spread", "statistic_distance"]

_QUANTILES = (np.arange(40) + 0.5) / 40
# The scale of a statistic that hardly varies, in its own unit.
_LEAST_SCALE = 0.02


@dataclass(frozen=True)
class Distance:
    """The mean 1-Wasserstein distance over all statistics, in standard deviations.

    0: alike. 1: the typical statistic differs by its own spread. `by_statistic` has the parts.
    """

    value: float
    by_statistic: dict[str, float]

    def worst(self, count: int = 3) -> list[str]:
        """Name the statistics that differ most, the largest difference first."""
        order = sorted(self.by_statistic, key=lambda name: -self.by_statistic[name])
        return order[:count]


def statistic_distance(
    field: np.ndarray, other: np.ndarray, scale: np.ndarray | None = None
) -> Distance:
    """Measure the distance between two sets of frames.

    Args:
        field, other: Statistics as `frame_statistics` gives them, shapes (n, s) and (m, s).
        scale: The unit for each statistic, shape (s,); by default `spread` of both sets.
            Compare two distances only when they were measured in the same scale.
    """
    scale = spread(field, other) if scale is None else scale
    gaps = np.abs(np.quantile(field, _QUANTILES, axis=0) - np.quantile(other, _QUANTILES, axis=0))
    parts = gaps.mean(axis=0) / scale
    names = dict(zip(STATISTICS, map(float, parts), strict=True))
    return Distance(float(parts.mean()), names)


def spread(field: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Standard deviation of each statistic within the two sets: float, shape (s,)."""
    inside = np.sqrt((field.var(axis=0) + other.var(axis=0)) / 2)
    return np.asarray(np.maximum(inside, _LEAST_SCALE))


def noise_floor(
    population: np.ndarray, count: int, scale: np.ndarray, rng: np.random.Generator
) -> float:
    """Distance that chance alone makes: from `count` random frames to all (mean of 5 draws)."""
    count = min(count, len(population))
    picks = (rng.integers(0, len(population), count) for _ in range(5))
    return float(
        np.mean([statistic_distance(population[p], population, scale).value for p in picks])
    )
