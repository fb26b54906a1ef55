"""Answers of the device and truths of people, in any order, and the tally that they give.

`run`, its panel and `audit` count through here: a truth may come before its answer or long after
it, and may be changed, and all three print the same figure.

How a frame came to be labelled decides for which frames its label speaks. A label of a whole
stretch speaks for its own frame. Labels of frames that chance picked speak for all frames that
no stretch holds. Frames that a person chose, or that were asked for because the answer was
uncertain, differ from the others: they are no sample of them (see `headline`).

Consecutive labelled frames of one label are taken for one object; in an image folder every file
is an object of its own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally
from edgecnn.session.events import TruthEvent

__all__ = [
    "CANT_TELL",
    "CHOSEN",
    "HARD",
    "NONE_OF_THESE",
    "NO_TRUTH",
    "RANDOM",
    "WHOLE",
    "Answers",
    "align_truth",
    "chance_weight",
    "frame_key",
    "frame_of",
    "latest",
    "number_objects",
    "stratum_scales",
    "why_code",
]

# Instead of the index of a label. Lower numbers are "none of these" too.
NO_TRUTH, CANT_TELL, NONE_OF_THESE = -1, -2, -3
# Why a frame was labelled. Of a frame labelled twice the higher one holds: a frame that chance
# picked stays picked by chance when a person corrects its label.
CHOSEN, HARD, RANDOM, WHOLE = range(4)
_WHY = {"chosen": CHOSEN, "hard": HARD, "uniform": RANDOM, "stretch": WHOLE, "all": WHOLE}
# With fewer labels of chance than this, whole stretches stand for the other frames too.
_FEWEST_RANDOM = 30
# Sums of an object: answers, right ones, their weights in two strata, the squares of these.
_SUMS = 8
# A frame and its region as one number, so that regions sort one after the other.
_REGION = 1 << 44


def why_code(why: str | None) -> int:
    """The code of an event's `why`; sessions that don't say why labelled all they could."""
    return _WHY[why or "all"]


def chance_weight(event: TruthEvent) -> float:
    """1 / p of a frame that chance picked, with p its chance to be asked; 1 where p is unknown."""
    p = event.probability
    return 1 / p if p is not None and 0 < p <= 1 and event.why == "uniform" else 1.0


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


def align_truth(
    key: np.ndarray, truth_key: np.ndarray, why: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last truth of each answer, why the frame was labelled, and its weight.

    Args:
        key: int64, shape (n,): sorted, each once.
        truth_key, why: int64, shape (m,): in the order in which they were given.
        weight: float64, shape (m,): of `chance_weight`.

    Returns:
        int64, shape (n,): the row of the last truth; -1 where there is none.
        int64, shape (n,): the highest reason; -1 where there is none.
        float64, shape (n,): the highest weight; 1 where there is none.
    """
    row, reason, worth = np.full(len(key), -1), np.full(len(key), -1), np.ones(len(key))
    if not len(key):
        return row, reason, worth
    at = np.minimum(np.searchsorted(key, truth_key), len(key) - 1)
    found = np.flatnonzero(key[at] == truth_key)
    np.maximum.at(row, at[found], found)
    np.maximum.at(reason, at[found], why[found])
    np.maximum.at(worth, at[found], weight[found])
    return row, reason, worth


def number_objects(key: np.ndarray, label: np.ndarray, *, separate: bool) -> np.ndarray:
    """Number the objects that labelled frames show: int64, shape (n,), upwards.

    Args:
        key: int64, shape (n,), sorted.
        label: int, shape (n,): all from 0.
        separate: Whether every frame shows an object of its own.
    """
    new = np.ones(len(key), bool)
    if not separate:
        region = key // _REGION
        new[1:] = (label[1:] != label[:-1]) | (region[1:] != region[:-1])
    return np.cumsum(new)


def stratum_scales(num_frames: int, num_whole: int, num_random: int, chance: float) -> np.ndarray:
    """What labels of whole stretches and of chance stand for, in frames, by their weight.

    Args:
        num_whole, num_random: Labels of each kind.
        chance: Sum of 1 / p over the labels of chance, with p the chance to be asked.
    """
    if not num_random:
        return np.array([1.0, 0.0])
    if num_whole and num_random < _FEWEST_RANDOM:
        alike = num_frames / (num_whole + num_random)
        return np.array([alike, alike * num_random / chance])
    return np.array([1.0, (num_frames - num_whole) / chance])


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
        >>> answers.answer(0, 1), answers.truth(TruthEvent(0, "cat", "keys"))
        (None, None)
        >>> answers.truth(TruthEvent(0, "dog", "keys"))
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
        self._why, self._weight = array("b"), array("d")
        # Truths that came before their answer: label, reason and weight.
        self._waiting: dict[int, tuple[int, int, float]] = {}
        self._settled = Clusters.none(2)
        self._settled_before = self._num_settled = 0
        # Labels of stretches and of chance among the settled, "can't tell" included, and the
        # weights of the latter.
        self._asked = np.zeros(3)
        # The object that the settled frames end in: its label and sums.
        self._open = (NO_TRUTH, np.zeros(_SUMS))

    def answer(self, frame: int, index: int) -> None:
        """Hold the answer to a frame: the index of a label. A later one replaces it."""
        row = self._row(frame)
        if row is None:
            return
        if row < len(self._frame) and self._frame[row] == frame:
            self._index[row] = index
            return
        label, why, weight = self._waiting.pop(frame, (NO_TRUTH, -1, 1.0))
        self._frame.insert(row, frame)
        self._index.insert(row, index)
        self._label.insert(row, label)
        self._why.insert(row, why)
        self._weight.insert(row, weight)
        if len(self._frame) >= 2 * self._window:
            self._settle()

    def truth(self, event: TruthEvent) -> None:
        """Hold what a frame shows. A later one replaces it."""
        row = self._row(event.frame)
        if row is None:
            return
        label, why = event.label, why_code(event.why)
        code = CANT_TELL if label is None else self._code.get(label, NONE_OF_THESE)
        weight = chance_weight(event)
        if row < len(self._frame) and self._frame[row] == event.frame:
            self._label[row], self._why[row] = code, max(why, self._why[row])
            self._weight[row] = max(weight, self._weight[row])
            return
        _, reason, heavier = self._waiting.get(event.frame, (NO_TRUTH, -1, 1.0))
        self._waiting[event.frame] = code, max(why, reason), max(weight, heavier)
        if len(self._waiting) > self._window:
            del self._waiting[next(iter(self._waiting))]

    @property
    def tally(self) -> Tally:
        """Right answers of those whose truth is a label of the card: the headline."""
        closed, (_, last), asked = self._count(len(self._frame))
        counts = self._settled + closed + _clusters(last[None])
        whole, random, chance = (self._asked + asked).tolist()
        num_frames = self._num_settled + len(self._frame)
        return counts.tally(stratum_scales(num_frames, int(whole), int(random), chance))

    def _row(self, frame: int) -> int | None:
        """Where a frame is or belongs; None when it has settled."""
        if frame < self._settled_before:
            self.late += 1
            return None
        if not self._frame or frame > self._frame[-1]:
            return len(self._frame)
        return bisect_left(self._frame, frame)

    def _count(self, count: int) -> tuple[Clusters, tuple[int, np.ndarray], np.ndarray]:
        """Count the first `count` frames: closed objects, the last one, and what was asked for.

        An object is its label and sums. The one that the settled frames end in goes on in the
        first of these, if that has its label.
        """
        label, index = np.array(self._label[:count]), np.array(self._index[:count])
        why, weight = np.array(self._why[:count]), np.array(self._weight[:count])
        random = why == RANDOM
        asked = np.array([(why == WHOLE).sum(), random.sum(), weight[random].sum()])
        rows = np.flatnonzero(label >= 0)
        if not len(rows):
            return Clusters.none(2), self._open, asked
        label, why, weight = label[rows], why[rows], weight[rows]
        objects = number_objects(np.arange(len(rows)), label, separate=self._separate) - 1
        sums = _sums(objects, index[rows] == label, why, weight)
        open_label, open_sums = self._open
        if open_label == label[0] and not self._separate:
            sums[0] += open_sums
        else:
            sums = np.concatenate([open_sums[None], sums])
        return _clusters(sums[:-1]), (int(label[-1]), sums[-1]), asked

    def _settle(self) -> None:
        """Keep only the sums of the oldest frames, but for the object that they end in."""
        count = len(self._frame) - self._window
        closed, self._open, asked = self._count(count)
        self._settled += closed
        self._asked += asked
        self._num_settled += count
        self._settled_before = self._frame[count]
        for column in (self._frame, self._index, self._label, self._why, self._weight):
            del column[:count]


def _sums(
    objects: np.ndarray, right: np.ndarray, why: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """The sums of each object, float64, shape (objects, 8): whole stretches, then chance."""
    held = [(why == WHOLE) * 1.0, (why == RANDOM) * weight]
    counted = (why == WHOLE) | (why == RANDOM)
    parts = [counted, counted & right, *held, *(h * right for h in held), *(h * h for h in held)]
    count = int(objects[-1]) + 1
    return np.stack([np.bincount(objects, weights=p, minlength=count) for p in parts], axis=1)


def _clusters(sums: np.ndarray) -> Clusters:
    """Count objects; those without a counted answer don't count."""
    sums = sums[sums[:, 0] > 0]
    return Clusters.of_sums(sums[:, 0], sums[:, 1], sums[:, 2:6].reshape(-1, 2, 2), sums[:, 6:])
