"""A log that leaves answers out (`--log-every`, `--log-mb`), and what those in it stand for.

Such a log holds every answer whose picture was ever kept, and of the others those that were due.
Half of the kept ones were picked for being uncertain, so that the logged answers are worse than
all of them. Two designs are unbiased, and the one that is known better is taken:

- The answers that chance kept, each for 1 / p: Horvitz & Thompson 1952,
  doi:10.1080/01621459.1952.10483446.
- All logged answers, in two strata: each kept one for itself, and those that were due for all
  that were never kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.session.answers import WHOLE, frame_key, frame_of, region_of
from edgecnn.session.events import TruthEvent
from edgecnn.session.layout import GOES_ON_IN
from edgecnn.session.read import Frames, Session, read_frames, read_truth
from edgecnn.words import number

__all__ = ["LateReasons", "answered_frames", "log_weights", "stands_for"]

# Fewer lines than this share of the answers are missing: a fault of the disk, no thin log.
_WHOLE = 0.98
# The same where the number of answers is not logged, but follows from the chances of being kept:
# these are rough where pictures are bounded by their size.
_ROUGHLY_WHOLE = 0.67
_NEAR = 0.25
# After so many intervals without an answer that was due, none was due any more.
_SILENT = 3.0


def answered_frames(frames: Frames) -> int:
    """How many answers the device gave, logged or not."""
    weights = log_weights(frames)
    return len(frames) if weights is None else max(len(frames), round(float(weights.sum())))


def log_weights(
    frames: Frames, outside: np.ndarray | None = None, *, only_chance: bool = False
) -> np.ndarray | None:
    """For how many answers each logged one stands: float64, shape (n,); None: the log is whole.

    Args:
        outside: bool, shape (n,): those that stand for themselves are False, and get 0 here: they
            were logged because they had a label. None: there are none.
        only_chance: Take those that chance kept, where there are any. Without the labels nobody
            knows which of the others were logged for having one.
    """
    count = len(frames)
    answered = None if frames.answered is None else frames.answered * len(frames.regions)
    if answered is not None and count >= _WHOLE * answered:
        return None
    region = region_of(frames.key)
    found: np.ndarray | None = None
    for place in range(len(frames.regions)):
        rows = slice(*np.searchsorted(region, [place, place + 1]))
        log = _RegionLog.of(frames, rows)
        if log is None:
            continue
        found = np.ones(count) if found is None else found
        here = np.ones(log.count, bool) if outside is None else outside[rows]
        found[rows] = log.weights(here, only_chance=only_chance)
    if outside is not None and found is not None:
        found[~outside] = 0
    return found


class LateReasons:
    """For which frames labels speak that come after the run, from a file: see `why`.

    Of a whole log each speaks for its own frame. Of a thin one those that are a sample of all
    answers count like labels of chance. The others can't: their frames are logged for being
    uncertain. What had a label in the run stands for itself, whoever corrects it.

    Raises:
        SessionError: The session can't be read.
    """

    def __init__(self, session: Session) -> None:
        self._frames = read_frames(session)
        self._whole = read_truth(session, self._frames).why == WHOLE
        self._weights = log_weights(self._frames, ~self._whole)

    @property
    def is_thin(self) -> bool:
        """Whether the log leaves answers out."""
        return self._weights is not None

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on in another session, which holds frames after these."""
        return (self._frames.end or "").startswith(GOES_ON_IN)

    def of(self, event: TruthEvent) -> TruthEvent:
        """A label with its reason, and with what probability the log holds its frame."""
        if self._weights is None:
            return event._replace(why="all")
        row = self._row(event)
        if self._whole[row]:
            return event._replace(why="all")
        weight = float(self._weights[row])
        if not weight:
            return event._replace(why="chosen")
        return event._replace(why="uniform", probability=min(1.0, 1 / weight))

    def note(self, events: Sequence[TruthEvent]) -> list[str]:
        """What a reader has to know of labels that `of` returned."""
        if self._weights is None or not events:
            return []
        left_out = sum(event.why == "chosen" for event in events)
        return [
            f"the log holds {len(self._frames)} of about {answered_frames(self._frames)} answers "
            f"(--log-every or --log-mb): {number(len(events) - left_out, 'label')} count for the "
            f"answers that they stand for, and {left_out} of frames that were logged for being "
            "uncertain count for the confusions only"
        ]

    def _row(self, event: TruthEvent) -> int:
        key = frame_key(event.frame, self._frames.regions[event.region])
        return int(np.searchsorted(self._frames.key, key))


def stands_for(frames: Sequence[Frames]) -> np.ndarray | None:
    """For how many answers each logged one of some sessions stands, by no label: float64.

    None where every log is whole.
    """
    found = [log_weights(one, only_chance=True) for one in frames]
    if all(weights is None for weights in found):
        return None
    columns = zip(frames, found, strict=True)
    return np.concatenate([np.ones(len(one)) if w is None else w for one, w in columns])


@dataclass(frozen=True)
class _RegionLog:
    """The logged answers to one region.

    number   int, shape (n,): of their frames, increasing
    chance   float64, shape (n,): with what probability chance kept it; 0 where it did not
    is_kept  bool, shape (n,): whether its picture was ever kept
    total    how many answers there were
    """

    number: np.ndarray
    chance: np.ndarray
    is_kept: np.ndarray
    total: float

    @property
    def count(self) -> int:
        return len(self.number)

    @classmethod
    def of(cls, frames: Frames, rows: slice) -> _RegionLog | None:
        """None where the log holds all answers, or does not say how many are missing."""
        key = frames.key[rows]  # nothing is copied of a whole log: there may be millions
        if len(key) < 2 or int(key[-1]) - int(key[0]) + 1 == len(key):
            return None
        kept = {row - rows.start: p for row, p in frames.chances.items() if _is_in(row, rows)}
        total, least = _total(key, kept, frames.answered)
        if total is None or len(key) >= least * total:
            return None
        chance, is_kept = np.zeros(len(key)), np.zeros(len(key), bool)
        is_kept[list(kept)] = True
        chance[list(kept)] = list(kept.values())
        return cls(frame_of(key).astype(np.int64), chance, is_kept, total)

    def weights(self, outside: np.ndarray, *, only_chance: bool) -> np.ndarray:
        """See `log_weights`."""
        found = np.zeros(self.count)
        span = float(self.number[-1] - self.number[0]) + 1
        due = np.flatnonzero(outside & ~self.is_kept)
        left = self.total - float((~outside).sum())
        if not len(due):
            return self._of_part(outside, left, only_chance=only_chance)
        last = int(self.number[due[-1]])
        before = self.number <= last
        share = (last - float(self.number[0]) + 1) / span
        size = self.total * share - float((before & ~outside).sum())
        if left - size <= _SILENT * size / len(due):
            return self._of_part(outside, left, only_chance=only_chance)
        for part, frames in ((before & outside, size), (~before & outside, left - size)):
            found += self._of_part(part, frames, only_chance=only_chance)
        return found

    def _of_part(self, part: np.ndarray, size: float, *, only_chance: bool) -> np.ndarray:
        """The weights of a part of the answers that stands for `size` of them; else 0."""
        due, kept = part & ~self.is_kept, part & self.is_kept
        picked = part & (self.chance > 0)
        by_chance = np.divide(1.0, self.chance, out=np.zeros(self.count), where=picked)
        never = max(float(due.sum()), size - float(kept.sum()))
        in_strata: np.ndarray = kept + never / max(1, int(due.sum())) * due
        if only_chance:
            better = by_chance if picked.any() else in_strata
        elif due.any() and _worth(in_strata) >= _worth(by_chance):
            return in_strata
        else:
            better = by_chance
        total = float(better.sum())
        return np.asarray(better * (max(0.0, size) / total) if total else better)


def _is_in(row: int, rows: slice) -> bool:
    return bool(rows.start <= row < rows.stop)


def _total(
    key: np.ndarray, kept: Mapping[int, float], answered: int | None
) -> tuple[float | None, float]:
    """How many answers there were, None if unknown, and from which share on a log is whole.

    The places of chance are k of n answers, so that p is k / n: that counts the answers of a
    session without an end, and of one of several of a run, whose end counts those of all.

    Args:
        key: Of the logged answers to a region, increasing.
        kept: By row, with what probability chance kept it; 0 where it did not.
    """
    places = sum(p >= 1 for p in kept.values())
    begin, span = int(key[0]), int(key[-1]) - int(key[0]) + 1
    if not places:
        is_all = answered is not None and int(frame_of(key[:1])[0]) == 0
        return (float(answered or 0) if is_all else None), _WHOLE
    row = max(row for row, p in kept.items() if p)
    until = int(key[row]) - begin + 1
    total = span * min(1.0, places / kept[row] / until)
    if answered is not None and abs(answered - total) <= _NEAR * total:
        return float(answered), _WHOLE
    return total, _ROUGHLY_WHOLE


def _worth(weight: np.ndarray) -> float:
    """How many answers of one weight are known as well as these."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0
