"""By how much the labels of a session are late: the shift at which they fit the answers best."""

from __future__ import annotations

import numpy as np

from edgecnn.accuracy.intervals import chunks
from edgecnn.session.answers import region_of

__all__ = ["MOST", "answers_of_labels", "best_lag", "late_part", "shifted"]

# Labels are shifted by up to this share of the frames, of which at most so many are looked at.
_FURTHEST, MOST = 1 / 3, 1 << 18
_MOST_CLASSES = 64
# Shares that differ by less are alike.
_ALIKE = 0.005


def shifted(key: np.ndarray, label: np.ndarray, lag: int) -> np.ndarray:
    """Labels that come `lag` frames late, put right: the label of each frame, -1 where unknown."""
    found = np.full(len(key), -1, label.dtype)
    for part in chunks(len(key)):
        wanted = key[part] + lag
        at = np.searchsorted(key, wanted, side="right") - 1
        place = np.maximum(at, 0)
        beside = (at >= 0) & (region_of(key[place]) == region_of(key[part]))
        found[part] = np.where(beside & (wanted <= key[-1]), label[place], -1)
    return found


def answers_of_labels(
    key: np.ndarray, label: np.ndarray, lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows: a label's own frame, and the one that it is of if labels come `lag` late.

    Where one frame in several is labelled, no frame has both a label and a shifted one: each label
    is then compared with the answers to both of its frames.
    """
    own = np.flatnonzero(label >= 0)
    at = np.minimum(np.searchsorted(key, key[own] - lag), len(key) - 1)
    beside = region_of(key[at]) == region_of(key[own])
    hit = (key[at] == key[own] - lag) & beside
    return own[hit], at[hit]


def best_lag(position: np.ndarray, index: np.ndarray, label: np.ndarray) -> int:
    """By how many positions the labels are late, where the answers fit best; 0: not at all.

    Args:
        position: int64, shape (n,), sorted: frame numbers, or times in steps of equal length.
        index, label: int, shape (n,); a label below 0 is none.

    All shifts are counted at once, by the correlation of where a class is answered with where it
    is labelled.
    """
    end = np.searchsorted(position, position[0] + MOST)
    place, index, label = position[:end] - position[0], index[:end], label[:end]
    span = int(place[-1]) + 1
    size = 1 << int(2 * span - 1).bit_length()
    filled = _filled(place, label, span)
    classes = np.argsort(-np.bincount(index), kind="stable")[:_MOST_CLASSES]

    def spectrum(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        track = np.zeros(size, np.float32)
        track[rows[mask]] = 1
        return np.asarray(np.fft.rfft(track))

    grid = np.arange(span)
    hits = sum(
        spectrum(grid, filled == k) * np.conj(spectrum(place, index == k)) for k in classes.tolist()
    )
    pairs = spectrum(grid, filled >= 0) * np.conj(spectrum(place, index >= 0))
    right = np.fft.irfft(hits, size)
    count = np.fft.irfft(pairs, size)
    furthest = int(span * _FURTHEST)
    lags = np.arange(-furthest, furthest + 1)
    share = np.where(count[lags] >= 0.5 * count[0], right[lags] / np.maximum(count[lags], 1), 0)
    best = int(share.argmax())
    error = 2 * np.sqrt(max(0.0, share[best] * (1 - share[best])) / max(1.0, count[lags[best]]))
    # Several shifts fit alike where a film repeats itself: then the shortest, and what fits best
    # beside it.
    alike = share >= share[best] - max(_ALIKE, error)
    shortest = int(lags[alike][np.abs(lags[alike]).argmin()]) + furthest
    last = np.append(np.flatnonzero(~alike), len(lags))
    first = int(last[last < shortest].max(initial=-1)) + 1
    near = np.arange(first, int(last[last > shortest].min()))
    near = near[share[near] >= share[near].max() - _ALIKE]
    return int(lags[near][np.abs(lags[near]).argmin()])


def late_part(index: np.ndarray, label: np.ndarray) -> tuple[int, slice, np.ndarray] | None:
    """By how many places the labels of a part are late, which part, and all labels with that one
    put right, -1 where that is unknown; None: of none.

    A line that somebody left out, or wrote twice, moves all labels after it. The lag is sought in
    the halves and in the first and last quarter. The part is where most more fit.

    Args:
        index, label: int, shape (n,): of the labelled frames alone, in their order.
    """
    count, most, found = len(label), 0, None
    for first, end in ((0, 2), (2, 4), (0, 1), (3, 4)):
        rows = slice(first * count // 4, end * count // 4)
        lag = best_lag(np.arange(len(index[rows])), index[rows], label[rows])
        moved = _moved_by(label, lag)
        gain = (moved == index) * 1 - ((label == index) & (moved >= 0))
        total = np.concatenate([[0], np.cumsum(gain)])
        rise = total - np.minimum.accumulate(total)
        if rise.max() > most:
            last = int(rise.argmax())
            start = int(total[:last].argmin())
            right = np.concatenate([label[:start], moved[start:last], label[last:]])
            most, found = int(rise.max()), (lag, slice(start, last), right)
    return found


def _moved_by(label: np.ndarray, lag: int) -> np.ndarray:
    """Labels that come `lag` places late, put right; -1 where there is none."""
    found = np.full(len(label), -1, label.dtype)
    found[max(0, -lag) : len(label) - max(0, lag)] = label[max(0, lag) : len(label) + min(0, lag)]
    return found


def _filled(place: np.ndarray, label: np.ndarray, span: int) -> np.ndarray:
    """The label at each position: that of the frame at or before it; -1 before the first."""
    at = np.searchsorted(place, np.arange(span), side="right") - 1
    return np.asarray(np.where(at >= 0, label[np.maximum(at, 0)], -1))
