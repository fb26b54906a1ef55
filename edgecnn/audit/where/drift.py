"""Changes from one day on: evidence that the field is another one, never that it is worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from edgecnn.audit.where.frame_table import FrameTable
from edgecnn.records import Record

__all__ = ["Drift", "find_drift"]

# Fewer days say nothing; each side of a change has so many.
_FEWEST_DAYS, _SIDE = 8, 2
_SHUFFLES, _CHANCE = 999, 0.01
# A day of fewer frames (or kept frames, for looks) is left out.
_FEWEST_FRAMES, _FEWEST_LOOKS = 10, 2
# What changes by less than this is too little to be shown: shares, confidence; looks in deviations.
_LEAST = 0.02


@dataclass(frozen=True)
class Drift(Record):
    """Something that is different from a day on.

    what     "confidence", "brightness", "sharpness", or the share of an answer
    since    the first day, YYYY-MM-DD, UTC
    before, after  the mean of the days before, and from then on
    chance   of a change as clear as this in any of what was looked at, if days had no order
    """

    what: str
    since: str
    before: float
    after: float
    chance: float

    def to_text(self) -> str:
        """One line for the terminal and the page."""
        return f"since {self.since}: {self.what} {self.before:.2f} -> {self.after:.2f}"


def find_drift(table: FrameTable, labels: Sequence[str]) -> tuple[Drift, ...]:
    """What changes from a day on, the clearest first; a day is one observation.

    Days are put into random order to learn how clear a change chance makes, in all that is looked
    at together.

    Source: Westfall & Young 1993, Resampling-Based Multiple Testing (largest statistic).
    """
    days, series = _by_day(table, labels)
    if len(days) < _FEWEST_DAYS:
        return ()
    names = list(series)
    values = np.stack([series[name] for name in names])
    clear, at = _changes(values)
    rng = np.random.default_rng(0)
    shuffled = np.array(
        [_changes(values[:, rng.permutation(len(days))])[0].max() for _ in range(_SHUFFLES)]
    )
    found = []
    for k in np.argsort(-clear, kind="stable").tolist():
        chance = float((1 + (shuffled >= clear[k]).sum()) / (1 + _SHUFFLES))
        first = int(at[k])
        before, after = float(values[k, :first].mean()), float(values[k, first:].mean())
        if chance <= _CHANCE and abs(after - before) >= _LEAST:
            since = date.fromordinal(int(days[first])).isoformat()
            found.append(Drift(names[k], since, round(before, 4), round(after, 4), chance))
    return tuple(found)


def _by_day(table: FrameTable, labels: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The days that count, and a mean a day of each thing that is looked at."""
    starts = table.days[:, 0]
    days, of_run = np.unique(table.days[:, 1], return_inverse=True)
    sure, answered = np.zeros(len(days)), np.zeros((len(labels), len(days)))
    logged = np.zeros(len(days), int)
    for first, end, day in zip(
        starts, np.append(starts[1:], len(table.index)), of_run, strict=True
    ):
        confidence, index = table.confidence[first:end], table.index[first:end]
        # A thin log holds more uncertain answers than the device gave.
        weight = None if table.weight is None else table.weight[first:end]
        sure[day] += confidence.sum(dtype=float) if weight is None else confidence @ weight
        answered[:, day] += np.bincount(index, weight, minlength=len(labels))
        logged[day] += len(index) if weight is None else (weight > 0).sum()
    counts = answered.sum(axis=0)
    good = (days > 0) & (logged >= _FEWEST_FRAMES)
    counts = np.where(good, counts, 1)  # the others are left out below
    series = {"confidence": sure / counts}
    for label, number in zip(labels, answered, strict=True):
        series[f"share of answers {label!r}"] = number / counts
    looks = table.looks
    member = of_run[np.searchsorted(starts, looks.row, side="right") - 1]
    seen = np.bincount(member, minlength=len(days))
    if good.any() and seen[good].min() >= _FEWEST_LOOKS:
        for name, values in (("brightness", looks.brightness), ("sharpness", looks.sharpness)):
            sums = np.bincount(member, weights=values, minlength=len(days))
            series[name] = sums / np.maximum(seen, 1)
    return days[good], {name: values[good] for name, values in series.items()}


def _changes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How clear the clearest change of each row is, and the first day after it.

    Args:
        values: float, shape (rows, days).

    Returns:
        float64, shape (rows,): Student's t of the days after against those before.
        int64, shape (rows,).
    """
    count = values.shape[1]
    first = np.arange(_SIDE, count - _SIDE + 1)
    sums, squares = np.cumsum(values, axis=1), np.cumsum(values**2, axis=1)
    left, right = first, count - first
    before = sums[:, first - 1] / left
    after = (sums[:, -1:] - sums[:, first - 1]) / right
    within = squares[:, -1:] - left * before**2 - right * after**2
    deviation = np.sqrt(np.maximum(within, 1e-12) / (count - 2))
    clear = np.abs(after - before) / (deviation * np.sqrt(1 / left + 1 / right))
    best = clear.argmax(axis=1)
    return clear[np.arange(len(values)), best], first[best]
