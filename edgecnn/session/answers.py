"""Answers of the device and truths of people, in any order, and the tally that they give.

`run`, its panel and `audit` count through here: a truth may come before its answer or long after
it, and may be changed, and all three print the same figure.

How a frame came to be labelled decides for which frames its label speaks. A label of a whole
stretch speaks for its own frame. Labels of frames that chance picked speak for all frames that
no stretch holds. Frames that a person chose, or that were asked for because the answer was
uncertain, differ from the others: they are no sample of them (see `headline`).

Frames of one label that look alike show one object, whenever it returns: a run numbers what its
frames show (see `accuracy.objects`). Without these numbers (a session of an older edgecnn or of
another program) consecutive labelled frames of one label are taken for one object, and in an
image folder every file for an object of its own; what returns later then counts anew.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import Clusters, is_increasing, run_starts, tighter
from edgecnn.accuracy.tally import Tally
from edgecnn.session.events import TruthEvent
from edgecnn.session.reading.said_labels import (
    CANT_TELL,
    CHOSEN,
    HARD,
    NO_TRUTH,
    NONE_OF_THESE,
    RANDOM,
    WHOLE,
    SaidLabels,
    chance_weight,
    why_code,
)

__all__ = [
    "CANT_TELL",
    "CHOSEN",
    "FEWEST_RANDOM",
    "HARD",
    "NONE_OF_THESE",
    "NO_TRUTH",
    "RANDOM",
    "WHOLE",
    "Answers",
    "chance_weight",
    "frame_key",
    "frame_of",
    "label_scales",
    "latest",
    "number_objects",
    "region_of",
    "why_code",
]

FEWEST_RANDOM = 30
"""With fewer labels of chance than this, whole stretches stand for the other frames too."""
# Objects of settled frames that can still grow. A run forgets looks before that.
_MOST_OPEN = 4096
# Sums of an object: answers, right ones, their weights in two strata, the squares of these.
_SUMS = 8
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
    """The frame numbers of keys; those of int32 are of one region."""
    return key if key.dtype == np.int32 else np.asarray(key % _REGION)


def region_of(key: np.ndarray) -> np.ndarray:
    """The positions of the regions of keys, int32; int32 keys are of one region."""
    if key.dtype == np.int32:
        return np.broadcast_to(np.int32(0), len(key))
    return np.asarray(key // _REGION).astype(np.int32)


def latest(key: np.ndarray) -> np.ndarray:
    """The row of the last entry of each key, int64, in the order of the keys."""
    order = np.argsort(key, kind="stable")
    last = np.append(key[order][1:] != key[order][:-1], True)
    return np.asarray(order[last])


def number_objects(
    key: np.ndarray, label: np.ndarray, *, separate: bool, thing: np.ndarray | None = None
) -> np.ndarray:
    """Number the objects that labelled frames show: int32, shape (n,), at least 1, at most n.

    Args:
        key: int64 or int32, shape (n,), sorted.
        label: int, shape (n,): all from 0.
        separate: Whether every frame shows an object of its own, where there is no `thing`.
        thing: int, shape (n,), from 0: what the frames show, by their looks; None if unknown.
    """
    if thing is None and separate:
        return np.arange(1, len(key) + 1, dtype=np.int32)
    region = region_of(key)
    # Only the first frame of each run is looked at: there may be millions of frames.
    starts = run_starts(region, label) if thing is None else run_starts(region, label, thing)
    number: np.ndarray = np.arange(1, len(starts) + 1, dtype=np.int32)
    if thing is not None:
        name = region[starts].astype(np.int64)
        for column in (thing, label):
            name *= int(column.max(initial=0)) + 1
            name += column[starts]
        if not is_increasing(name):  # else each run is another object, of millions perhaps
            number = np.unique(name, return_inverse=True)[1] + 1
    return np.repeat(number.astype(np.int32), np.diff(starts, append=len(key)))


def label_scales(
    num_frames: int, num_whole: int, num_random: int, chance: float
) -> tuple[np.ndarray, np.ndarray]:
    """What labels of whole stretches and of chance stand for, in frames, by their weight.

    Args:
        num_whole, num_random: Labels of each kind.
        chance: Sum of 1 / p over the labels of chance, with p the chance to be asked.

    Returns:
        What they stand for exactly: a stretch for its own frames, chance for all others; and if
        the frames of stretches are as typical as the others. Of a few labels of chance only the
        latter.
    """
    if not num_random:
        return np.array([1.0, 0.0]), np.array([1.0, 0.0])
    each = num_frames / (num_whole + num_random)
    alike = np.array([each, each * num_random / chance])
    if num_whole and num_random < FEWEST_RANDOM:
        return alike, alike
    return np.array([1.0, (num_frames - num_whole) / chance]), alike


class Answers:
    """The answers of a session that is going on, and their tally so far.

    Memory stays bounded for days: an answer settles when `window` later ones have come, and then
    only its part of the sums is kept. A truth for a settled frame comes too late: `late` counts
    it, and only an audit of the session can still use it. Of 4,096 objects the sums stay open for
    a return. One object is one region.

    Args:
        labels: The labels of the card.
        separate: Whether every frame shows an object of its own (an image folder).
        by_looks: Whether looks tell what frames show: then those of two labels show two objects.
        window: How many of the newest answers can still get a truth or another one. The default
            is a quarter of an hour at ten frames a second.

    Example:
        >>> answers = Answers(["cat", "dog"])
        >>> answers.answer(0, 1), answers.truth(TruthEvent(0, "cat", "keys"))
        (None, None)
        >>> answers.truth(TruthEvent(0, "dog", "keys"))
        >>> answers.tally.correct, answers.tally.total
        (1, 1)
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        separate: bool = False,
        by_looks: bool = True,
        window: int = 10_000,
    ) -> None:
        self.late = 0
        self._num_labels = len(labels)
        self._separate, self._by_looks, self._window = separate, by_looks, window
        self._frame, self._index, self._label = array("q"), array("i"), array("i")
        self._why, self._weight = array("b"), array("d")
        self._thing = array("q")
        # Truths that came before their answer: label, reason and weight.
        self._waiting: dict[int, tuple[int, int, float]] = {}
        # What was said of each frame that has not settled: one may be taken back.
        self._said = SaidLabels(labels)
        self._settled = Clusters.none(2)
        self._settled_before = self._num_settled = 0
        # Labels of stretches and of chance among the settled, "can't tell" included, and the
        # weights of the latter.
        self._asked = np.zeros(3)
        # Closed objects: how many, and how many were answered right at their first label.
        self._firsts = np.zeros(2, int)
        # Objects of settled frames that may go on, the one seen last at the end.
        self._open = _Objects.none()
        self._counted: tuple[_Objects, np.ndarray] | None = None
        self._run = (NO_TRUTH, 0)  # the label of the last settled frame, and its run's number

    def answer(self, frame: int, index: int, thing: int | None = None) -> None:
        """Hold the answer to a frame. A later one replaces it.

        Args:
            index: That of the label.
            thing: Number of what the frame shows, from 0 (see `accuracy.objects`): give it for
                every frame or for none.
        """
        row = self._row(frame)
        if row is None:
            return
        self._counted = None
        number = -1 if thing is None else thing
        if row < len(self._frame) and self._frame[row] == frame:
            self._index[row], self._thing[row] = index, number
            return
        label, why, weight = self._waiting.pop(frame, (NO_TRUTH, -1, 1.0))
        self._frame.insert(row, frame)
        self._index.insert(row, index)
        self._thing.insert(row, number)
        self._label.insert(row, label)
        self._why.insert(row, why)
        self._weight.insert(row, weight)
        if len(self._frame) >= 2 * self._window:
            self._settle()

    def truth(self, event: TruthEvent) -> None:
        """Hold what a frame shows. A later one replaces it, or takes it back."""
        row = self._row(event.frame)
        if row is None:
            return
        self._counted = None
        label, why, weight = self._said.add(event)
        if row < len(self._frame) and self._frame[row] == event.frame:
            self._label[row], self._why[row], self._weight[row] = label, why, weight
            return
        self._waiting[event.frame] = label, why, weight
        if len(self._waiting) > self._window:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self._said.forget([oldest])

    @property
    def tally(self) -> Tally:
        """Right answers of those whose truth is a label of the card: the headline."""
        held, asked = self._all()
        counts = self._settled + _clusters(held.sums)
        whole, random, chance = (self._asked + asked).tolist()
        num_frames = self._num_settled + len(self._frame)
        scales, alike = label_scales(num_frames, int(whole), int(random), chance)
        exact = counts.tally(scales)
        return exact if exact.estimate is None else tighter(exact, counts.tally(alike))

    @property
    def first_answers(self) -> tuple[int, int]:
        """How many objects there are, and how many were answered right at their first label."""
        things, right = (self._firsts + self._all()[0].firsts()).tolist()
        return things, right

    def _all(self) -> tuple[_Objects, np.ndarray]:
        """The objects that are not closed, and what was asked for; counted once a change."""
        if self._counted is None:
            held, _, asked = self._count(len(self._frame))
            self._counted = self._open.joined(held), asked
        return self._counted

    def _row(self, frame: int) -> int | None:
        """Where a frame is or belongs; None when it has settled."""
        if frame < self._settled_before:
            self.late += 1
            return None
        if not self._frame or frame > self._frame[-1]:
            return len(self._frame)
        return bisect_left(self._frame, frame)

    def _count(self, count: int) -> tuple[_Objects, tuple[int, int], np.ndarray]:
        """Count the first `count` frames: their objects, the last run, and what was asked for."""
        label, index = np.array(self._label[:count]), np.array(self._index[:count])
        why, weight = np.array(self._why[:count]), np.array(self._weight[:count])
        random = why == RANDOM
        asked = np.array([(why == WHOLE).sum(), random.sum(), weight[random].sum()])
        rows = np.flatnonzero(label >= 0)
        if not len(rows):
            return _Objects.none(), self._run, asked
        label, why, weight = label[rows], why[rows], weight[rows]
        thing = np.array(self._thing[:count])[rows]
        last, run = self._run
        starts = number_objects(np.arange(len(rows)), label, separate=self._separate)
        runs = starts.astype(np.int64) + run - (last == label[0] and not self._separate)
        # What has no number is a run of one label; numbers below 0 are free for these.
        part = label if self._by_looks else 0
        name = np.where(thing >= 0, thing * self._num_labels + part, -runs)
        right = index[rows] == label
        first = np.where((why == WHOLE) | (why == RANDOM), right, -1)
        held = _Objects.of(name, _sums(right, why, weight), first)
        return held, (int(label[-1]), int(runs[-1])), asked

    def _settle(self) -> None:
        """Keep only the sums of the oldest frames, but for objects that may go on."""
        count = len(self._frame) - self._window
        held, self._run, asked = self._count(count)
        closed, self._open = self._open.joined(held).split(_MOST_OPEN)
        self._settled += _clusters(closed.sums)
        self._firsts += closed.firsts()
        self._asked += asked
        self._num_settled += count
        self._settled_before = self._frame[count]
        self._said.forget(self._frame[:count])
        for column in (self._frame, self._index, self._thing, self._label, self._why, self._weight):
            del column[:count]


@dataclass(frozen=True)
class _Objects:
    """Objects in the order in which they were seen last.

    name    int64, shape (n,)
    sums    float64, shape (n, 8): see `_sums`
    first   int64, shape (n,): 1 where the first answer that counts was right, else 0; -1 where
            none counts
    """

    name: np.ndarray
    sums: np.ndarray
    first: np.ndarray

    @classmethod
    def none(cls) -> _Objects:
        return cls(np.zeros(0, np.int64), np.zeros((0, _SUMS)), np.zeros(0, np.int64))

    @classmethod
    def of(cls, name: np.ndarray, sums: np.ndarray, first: np.ndarray) -> _Objects:
        """Add the sums of each object up; the rows are in the order of time."""
        found, member = np.unique(name, return_inverse=True)
        total = np.stack([np.bincount(member, weights=column) for column in sums.T], axis=1)
        seen = np.zeros(len(found), int)
        seen[member] = np.arange(len(name))  # the last row of each object stays
        earliest = np.full(len(found), -1)
        counted = np.flatnonzero(first >= 0)[::-1]
        earliest[member[counted]] = first[counted]  # of one object the last, thus earliest, stays
        order = np.argsort(seen)
        return cls(found[order], total[order], earliest[order])

    def joined(self, later: _Objects) -> _Objects:
        if not len(later.name):
            return self
        columns = zip(self.columns(), later.columns(), strict=True)
        return _Objects.of(*map(np.concatenate, columns))

    def split(self, most: int) -> tuple[_Objects, _Objects]:
        """Those seen first, and the last `most`."""
        cut = max(0, len(self.name) - most)
        old, new = ([c[part] for c in self.columns()] for part in (slice(cut), slice(cut, None)))
        return _Objects(*old), _Objects(*new)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.name, self.sums, self.first

    def firsts(self) -> np.ndarray:
        """Objects with an answer that counts, and those whose first one was right."""
        return np.array([(self.first >= 0).sum(), (self.first == 1).sum()])


def _sums(right: np.ndarray, why: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What each answer adds to its object, float64, shape (n, 8): whole stretches, then chance."""
    held = [(why == WHOLE) * 1.0, (why == RANDOM) * weight]
    counted = (why == WHOLE) | (why == RANDOM)
    parts = [counted, counted & right, *held, *(h * right for h in held), *(h * h for h in held)]
    return np.stack(parts, axis=1).astype(float)


def _clusters(sums: np.ndarray) -> Clusters:
    """Count objects; those without a counted answer don't count."""
    sums = sums[sums[:, 0] > 0]
    return Clusters.of_sums(sums[:, 0], sums[:, 1], sums[:, 2:6].reshape(-1, 2, 2), sums[:, 6:])
