"""Columns of a session's answers while they are read: of millions of rows, with little memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from edgecnn.accuracy.intervals import chunks, run_starts

__all__ = ["days_of", "moved", "narrowed", "spread_scores"]

_Value = TypeVar("_Value")


def spread_scores(top: Sequence[tuple[int, float]], num_labels: int) -> tuple[float, ...]:
    """All scores where only the best were logged: the others share what is left of 1."""
    left = max(0.0, 1 - sum(score for _, score in top)) / max(1, num_labels - len(top))
    best = dict(top)
    return tuple(best.get(k, left) for k in range(num_labels))


def moved(column: dict[int, _Value], kept: np.ndarray | None) -> dict[int, _Value]:
    """What is known of some rows, by their places among the rows that are kept, in that order."""
    if kept is None:
        return column
    place = dict(zip(kept.tolist(), range(len(kept)), strict=True))
    return {place[row]: value for row, value in column.items() if row in place}


def narrowed(column: array[float]) -> np.ndarray:
    """A column of float32, in float16 where that is exact, as of steps of 1/256.

    In the column's own memory: what is let go of between larger columns stays with the process.
    """
    wide = np.frombuffer(column, np.float32)
    with np.errstate(over="ignore"):  # of scores that are none
        for part in chunks(len(wide)):
            if not bool((wide[part].astype(np.float16) == wide[part]).all()):
                return wide
    count, narrow = len(wide), np.frombuffer(column, np.float16, len(wide))
    for part in chunks(count):
        narrow[part] = wide[part].copy()  # further on than where it goes
    del wide, narrow  # an array that is looked at can't shrink
    del column[(count + 1) // 2 :]
    return np.frombuffer(column, np.float16, count)


def days_of(runs: Sequence[tuple[int, int]], count: int, kept: np.ndarray | None) -> np.ndarray:
    """`Frames.days` of the rows that are kept, of `count`."""
    days = np.array(runs, np.int64)
    if kept is None:
        return days
    each = np.repeat(days[:, 1], np.diff(days[:, 0], append=count))[kept]
    starts = run_starts(each)
    return np.stack([starts, each[starts]], axis=1)
