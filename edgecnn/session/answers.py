"""Answers of the device and truths of people, in any order, and the tally that they give.

`run`, its panel and `audit` count through here: a truth may come before its answer or long after
it, and may be changed, and all three print the same figure.

Consecutive frames of one label are taken for one object; in an image folder every file is an
object of its own. A frame without a label ends an object.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally

__all__ = [
    "CANT_TELL",
    "NONE_OF_THESE",
    "NO_TRUTH",
    "Answers",
    "align_truth",
    "frame_key",
    "frame_of",
    "latest",
    "number_objects",
]

# Instead of the index of a label. Lower numbers are "none of these" too.
NO_TRUTH, CANT_TELL, NONE_OF_THESE = -1, -2, -3
# A frame and its region as one number, so that regions sort one after the other.
_REGION = 1 << 44


def frame_key(frame: int, region: int = 0) -> int:
    """One number for a frame and the position of its region; they sort by region, then frame.

    Raises:
        ValueError: A frame below 0 or from 2^44.
    """
    if not 0 <= frame < _REGION:
        raise ValueError(f"frame is {frame}, expected 0 to {_REGION - 1}")
    return region * _REGION + frame


def frame_of(key: np.ndarray) -> np.ndarray:
    """The frame numbers of keys."""
    return np.asarray(key % _REGION)


def latest(key: np.ndarray) -> np.ndarray:
    """The row of the last entry of each key, int64, in the order of the keys."""
    order = np.argsort(key, kind="stable")
    last = np.append(key[order][1:] != key[order][:-1], True)
    return np.asarray(order[last])


def align_truth(key: np.ndarray, truth_key: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The last truth of each answer.

    Args:
        key: int64, shape (n,): sorted, each once.
        truth_key, label: int64, shape (m,): in the order in which they were given.

    Returns:
        int32, shape (n,): NO_TRUTH where there is none.
    """
    aligned = np.full(len(key), NO_TRUTH, np.int32)
    if not len(truth_key):
        return aligned
    rows = latest(truth_key)
    truth_key, label = truth_key[rows], label[rows]
    at = np.minimum(np.searchsorted(truth_key, key), len(truth_key) - 1)
    found = truth_key[at] == key
    aligned[found] = label[at[found]]
    return aligned


def number_objects(key: np.ndarray, label: np.ndarray, *, separate: bool) -> np.ndarray:
    """Number the objects that frames show: int64, shape (n,), from 1 upwards.

    Args:
        key: int64, shape (n,), sorted.
        label: int, shape (n,): below 0 where there is none.
        separate: Whether every frame shows an object of its own.
    """
    new = np.ones(len(key), bool)
    if not separate:
        region = key // _REGION
        new[1:] = (label[1:] != label[:-1]) | (region[1:] != region[:-1])
    return np.cumsum(new)


class Answers:
    """The answers of a session that is going on, and their tally so far.

    Memory stays bounded for days: an answer settles when `window` later ones have come, and then
    only its part of the sums is kept. A truth for a settled frame comes too late: `late` counts
    it, and only an audit of the session can still use it. One object is one region.

    Args:
        labels: The labels of the card.
        separate: Whether every frame shows an object of its own (an image folder).
        window: How many of the newest answers can still get a truth or another one. The default
            is a quarter of an hour at ten frames a second; a tally of twice as many takes about
            2 ms on a desktop processor.

    Example:
        >>> answers = Answers(["cat", "dog"])
        >>> answers.answer(0, 1), answers.truth(0, "cat"), answers.truth(0, "dog")
        (None, None, None)
        >>> answers.tally.correct, answers.tally.total
        (1, 1)
    """

    def __init__(
        self, labels: Sequence[str], *, separate: bool = False, window: int = 10_000
    ) -> None:
        self.late = 0
        self._code = {label: k for k, label in enumerate(labels)}
        self._separate, self._window = separate, window
        self._frame, self._index, self._label = array("q"), array("i"), array("i")
        self._waiting: dict[int, int] = {}  # truths that came before their answer
        self._settled = Clusters()
        self._settled_before = 0
        # Of the object that the settled frames end in: its label, frames and right answers.
        self._open = (NO_TRUTH, 0, 0)

    def answer(self, frame: int, index: int) -> None:
        """Hold the answer to a frame: the index of a label. A later one replaces it."""
        row = self._row(frame)
        if row is None:
            return
        if row < len(self._frame) and self._frame[row] == frame:
            self._index[row] = index
            return
        self._frame.insert(row, frame)
        self._index.insert(row, index)
        self._label.insert(row, self._waiting.pop(frame, NO_TRUTH))
        if len(self._frame) >= 2 * self._window:
            self._settle()

    def truth(self, frame: int, label: str | None) -> None:
        """Hold what a frame shows: None says "can't tell". A later one replaces it."""
        row = self._row(frame)
        if row is None:
            return
        code = CANT_TELL if label is None else self._code.get(label, NONE_OF_THESE)
        if row < len(self._frame) and self._frame[row] == frame:
            self._label[row] = code
            return
        self._waiting[frame] = code
        if len(self._waiting) > self._window:
            del self._waiting[next(iter(self._waiting))]

    @property
    def tally(self) -> Tally:
        """Right answers of those whose truth is a label of the card."""
        sizes, right = self._objects(len(self._frame))
        return (self._settled + Clusters.of_counts(sizes, right)).tally

    def _row(self, frame: int) -> int | None:
        """Where a frame is or belongs; None when it has settled."""
        if frame < self._settled_before:
            self.late += 1
            return None
        if not self._frame or frame > self._frame[-1]:
            return len(self._frame)
        return bisect_left(self._frame, frame)

    def _objects(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames and right answers of each object, int64, in order, of the first `count` frames.

        The object that the settled frames end in comes first, joined with its continuation.
        """
        label, index = np.array(self._label[:count]), np.array(self._index[:count])
        key = np.arange(count)
        labelled = label >= 0
        objects = number_objects(key, label, separate=self._separate)[labelled]
        _, member = np.unique(objects, return_inverse=True)
        sizes = np.bincount(member)
        right = np.bincount(member, weights=index[labelled] == label[labelled]).astype(np.int64)
        open_label, open_size, open_right = self._open
        if not open_size:
            return sizes, right
        if count and label[0] == open_label:
            sizes[0] += open_size
            right[0] += open_right
            return sizes, right
        return np.append(open_size, sizes), np.append(open_right, right)

    def _settle(self) -> None:
        """Keep only the sums of the oldest frames, but for the object that they end in."""
        count = len(self._frame) - self._window
        sizes, right = self._objects(count)
        last = self._label[count - 1]
        goes_on = last >= 0 and not self._separate
        self._open = (last, int(sizes[-1]), int(right[-1])) if goes_on else (NO_TRUTH, 0, 0)
        closed = len(sizes) - goes_on
        self._settled += Clusters.of_counts(sizes[:closed], right[:closed])
        self._settled_before = self._frame[count]
        for column in (self._frame, self._index, self._label):
            del column[:count]
