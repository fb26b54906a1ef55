"""Fragile or solid: which errors small nudges cure, and which none of them cures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.audit.ledger.change import Change, moved, turned_by
from edgecnn.records import Record

__all__ = ["Fragility", "nudges"]

# An error is fragile if so many of the nudges read it right.
_FRAGILE = 3


def nudges() -> Sequence[Change]:
    """Seven changes that a person would not notice, nor what they fill in at the edge."""
    made = [
        moved("left", right=-0.04),
        moved("right", right=0.04),
        moved("up", down=-0.04),
        moved("down", down=0.04),
        moved("nearer", zoom=1.08),
        turned_by("one way", -4),
        turned_by("the other way", 4),
    ]
    return [replace(nudge, refilled=None) for nudge in made]


@dataclass(frozen=True)
class Fragility(Record):
    """How the misread frames answer to small nudges.

    misread   the frames that were nudged
    fragile   at least 3 of 7 nudges read them right: the network knows them, but not so placed
    solid     none does: the lab never showed such an object or such light
    """

    misread: int
    fragile: int
    solid: int

    @classmethod
    def of(cls, cured_by: np.ndarray) -> Fragility:
        """Count misread frames.

        Args:
            cured_by: bool, shape (7, n): whether each nudge reads a frame right.
        """
        cured = cured_by.sum(axis=0)
        return cls(len(cured), int((cured >= _FRAGILE).sum()), int((cured == 0).sum()))

    def to_text(self) -> str:
        """One line for the terminal and the page."""
        return (
            f"of {self.misread} misread frames that chance kept, small nudges of the picture cure "
            f"{self.fragile} (crop, adapt or augment), and no nudge cures {self.solid} (where no "
            "setting above does, label them and add such images)"
        )
