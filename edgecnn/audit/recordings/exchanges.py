"""Things that exchanged places: classes under other names, regions under each other's labels."""

from __future__ import annotations

import numpy as np

from edgecnn.session.answers import frame_key, frame_of
from edgecnn.session.read import Frames

__all__ = ["best_order", "exchanged_regions", "region_rows"]

_EQUAL = 1e-9


def best_order(counts: np.ndarray) -> np.ndarray:
    """The place of each thing with which most answers fit: int64, shape (n,).

    From each thing at its own place, pairs exchange places as long as that gains. Things count
    alike, however often they are seen.

    Args:
        counts: int, shape (n, n): how many answers of one thing (row) fit each place (column).
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    order = np.arange(len(share))
    while True:
        now = share[np.arange(len(share)), order]
        crossed = share[:, order]
        gain = crossed + crossed.T - now[:, None] - now[None, :]
        first, second = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[first, second] <= _EQUAL:
            return order
        order[[first, second]] = order[[second, first]]


def region_rows(frames: Frames) -> dict[str | None, slice]:
    """The rows of each region by its name."""
    keys = np.array([frame_key(0, k) for k in frames.regions.values()], frames.key.dtype)
    starts = np.searchsorted(frames.key, keys).tolist()
    ends = [*starts[1:], len(frames.key)]
    return {
        name: slice(first, end)
        for name, first, end in zip(frames.regions, starts, ends, strict=True)
    }


def exchanged_regions(frames: Frames, label: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Regions whose answers fit each other's labels: what to say, and the labels put right.

    Args:
        label: int, shape (n,): below 0 is none.
    """
    rows = list(region_rows(frames).values())
    counts = np.zeros((len(rows), len(rows)), int)
    for one, here in enumerate(rows):
        for other, there in enumerate(rows):
            told = _labels_at(frames, here, there, label)
            counts[one, other] = int(((told == frames.index[here]) & (told >= 0)).sum())
    order = best_order(counts)
    moved = np.flatnonzero(order != np.arange(len(rows)))
    if not len(moved):
        return None
    put_right = label.copy()
    for one in moved.tolist():
        put_right[rows[one]] = _labels_at(frames, rows[one], rows[int(order[one])], label)
    names = list(frames.regions)
    shown = ", ".join(f"{names[k]!r} has those of {names[order[k]]!r}" for k in moved.tolist())
    return f"labels are of other regions: {shown}", put_right


def _labels_at(frames: Frames, here: slice, there: slice, label: np.ndarray) -> np.ndarray:
    """The label that one region has in each frame of another one; -1 where there is none."""
    wanted, known = frame_of(frames.key[here]), frame_of(frames.key[there])
    if not len(known):
        return np.full(len(wanted), -1, label.dtype)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, label[there][at], -1).astype(label.dtype)
