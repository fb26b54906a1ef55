"""Changes from one day on: evidence that the field is another one, never that it is worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from edgecnn.audit.where.frame_table import FrameTable
from edgecnn.records import Record, json_as

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
    device   which one, where several are audited
    chance   of a change as clear as this in any of what was looked at, if days had no order
    """

    what: str
    since: str
    before: float
    after: float
    chance: float
    device: str | None = field(default=None, metadata=json_as(if_any=True))

    def to_text(self) -> str:
        """One line for the terminal and the page."""
        whose = "" if self.device is None else f"{self.device or 'unnamed device'}: "
        return f"{whose}since {self.since}: {self.what} {self.before:.2f} -> {self.after:.2f}"


def find_drift(table: FrameTable, labels: Sequence[str]) -> tuple[Drift, ...]:
    """What changes from a day on, the clearest first; a day of a device is one observation.

    Days are put into random order to learn how clear a change chance makes, in all that is looked
    at together. Each device by itself: a camera that is added or away on a day is no change.

    Source: Westfall & Young 1993, Resampling-Based Multiple Testing (largest statistic).
    """
    of_each = [_by_day(table, labels, device) for device in range(len(table.devices))]
    of_each = [(days if len(days) >= _FEWEST_DAYS else days[:0], found) for days, found in of_each]
    rng = np.random.default_rng(0)
    shuffled, seen = np.zeros(_SHUFFLES), []
    for name, (days, series) in zip(table.devices, of_each, strict=True):
        if not len(days):
            continue
        values = np.stack(list(series.values()))
        orders = (values[:, rng.permutation(len(days))] for _ in range(_SHUFFLES))
        shuffled = np.maximum(shuffled, [_changes(order)[0].max() for order in orders])
        device = name if len(table.devices) > 1 else None
        for what, row, clear, first in zip(series, values, *_changes(values), strict=True):
            before, after = float(row[:first].mean()), float(row[first:].mean())
            if abs(after - before) >= _LEAST:
                since = date.fromordinal(int(days[first])).isoformat()
                one = Drift(what, since, round(before, 4), round(after, 4), 0.0, device)
                seen.append((float(clear), one))
    found = []
    for clear, one in sorted(seen, key=lambda pair: -pair[0]):
        chance = float((1 + (shuffled >= clear).sum()) / (1 + _SHUFFLES))
        if chance <= _CHANCE:
            found.append(replace(one, chance=chance))
    return tuple(found)


def _by_day(
    table: FrameTable, labels: Sequence[str], device: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The days of a device that count, and a mean a day of each thing that is looked at."""
    starts, is_mine = table.days[:, 0], table.of_device == device
    days, of_run = np.unique(table.days[:, 1], return_inverse=True)
    sure, answered = np.zeros(len(days)), np.zeros((len(labels), len(days)))
    logged = np.zeros(len(days), int)
    ends = np.append(starts[1:], len(table.index))
    for first, end, day in zip(starts[is_mine], ends[is_mine], of_run[is_mine], strict=True):
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
    run = np.searchsorted(starts, looks.row, side="right") - 1
    mine = is_mine[run]
    member = of_run[run[mine]]
    seen = np.bincount(member, minlength=len(days))
    if good.any() and seen[good].min() >= _FEWEST_LOOKS:
        for name, values in (("brightness", looks.brightness), ("sharpness", looks.sharpness)):
            sums = np.bincount(member, weights=values[mine], minlength=len(days))
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
