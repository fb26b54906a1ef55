"""Two sets of labels for the same answers: which of them fit, counted by frames and stretches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import chunks
from edgecnn.accuracy.paired import Paired
from edgecnn.session.answers import region_of
from edgecnn.session.read import Frames

__all__ = ["LabelComparison"]


@dataclass(frozen=True)
class LabelComparison:
    """Counts of the frames that have a label of the card in both sets.

    Args:
        stretches: Frames of one label in a row count as one: whether more of it fit after.
        num_before, num_after: Answers that fit the labels as they are, and the others.
        changed: Frames whose label is another one; of these `changed_before` and `changed_after`.
    """

    stretches: Paired
    total: int
    num_before: int
    num_after: int
    changed: int
    changed_before: int
    changed_after: int

    @property
    def before(self) -> float:
        """The share of answers that fit the labels as they are."""
        return self.num_before / self.total

    @property
    def gain(self) -> float:
        """By what share of the answers more fit the other labels."""
        return self.num_after / self.total - self.before

    @classmethod
    def of(
        cls, frames: Frames, label: np.ndarray, other: np.ndarray, *, separate: bool
    ) -> LabelComparison:
        """Count, some frames at a time: there may be millions.

        Args:
            label, other: int, shape (n,): below 0 is none.
            separate: Whether each frame is a stretch of its own.
        """
        counts = np.zeros(6, int)
        lost = won = 0
        open_change = 0.0  # of the stretch that the last part ended in
        for part in chunks(len(label)):
            told, moved, index = label[part], other[part], frames.index[part]
            both = (told >= 0) & (moved >= 0)
            before, after = both & (told == index), both & (moved == index)
            changed = both & (told != moved)
            columns = (both, before, after, changed, changed & before, changed & after)
            counts += np.array([column.sum() for column in columns])
            stretch = np.cumsum(_starts(frames.key, label, part, separate=separate))
            change = np.bincount(stretch, weights=after * 1.0 - before)
            change[0] += open_change
            open_change, done = float(change[-1]), change[:-1]
            lost, won = lost + int((done < 0).sum()), won + int((done > 0).sum())
        stretches = Paired(lost + (open_change < 0), won + (open_change > 0))
        return cls(stretches, *counts.tolist())


def _starts(key: np.ndarray, label: np.ndarray, part: slice, *, separate: bool) -> np.ndarray:
    """Which frames of a part begin a stretch: bool; frames without a label count as class 0."""
    first = max(0, part.start - 1)
    told, region = np.maximum(label[first : part.stop], 0), region_of(key[first : part.stop])
    is_new = np.ones(len(told), bool)
    if not separate:
        is_new[1:] = (told[1:] != told[:-1]) | (region[1:] != region[:-1])
    return is_new[part.start - first :]
