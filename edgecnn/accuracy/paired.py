"""The one paired test: did a change make answers to the same images better or worse?

Only images on which the two sides differ count. Where the change does nothing, each of them is
lost or won with chance 1/2, so the binomial distribution gives the exact chance. No scipy: the
test runs on the device too.

The exact chance holds for one look. Who looks again and again while images come takes `stake`.

Source: McNemar 1947, doi:10.1007/BF02295996; the exact form is the sign test. Robbins 1970,
doi:10.1214/aoms/1177696786 (mixtures of bets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb

import numpy as np

__all__ = ["Paired", "PairedClasses"]

_LARGEST = 10**12


@dataclass(frozen=True)
class Paired:
    """Images that got worse (`lost`) and better (`won`) by a change; the others don't count.

    Example:
        >>> Paired(lost=1, won=7).p_better
        0.03515625
    """

    lost: int
    won: int

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray) -> Paired:
        """Compare how well each image was answered.

        Args:
            before, after: Shape (n,): bool (right or wrong), or numbers of which more is better.
        """
        return cls(int((after < before).sum()), int((after > before).sum()))

    def __add__(self, other: Paired) -> Paired:
        return Paired(self.lost + other.lost, self.won + other.won)

    @property
    def p_better(self) -> float:
        """The chance of as many won images, or more, if the change did nothing (one-sided)."""
        return _tail(self.won, self.lost + self.won)

    @property
    def p_worse(self) -> float:
        """The chance of as many lost images, or more, if the change did nothing (one-sided)."""
        return _tail(self.lost, self.lost + self.won)

    @property
    def p_value(self) -> float:
        """The chance of a difference this large, either way, if the change did nothing."""
        return min(1.0, 2 * _tail(max(self.lost, self.won), self.lost + self.won))

    @property
    def stake(self) -> float:
        """What a bet on a better change has made of a stake of 1, at most 1e12.

        It is how much likelier the images are if a change wins more than it loses, in the mean
        over all chances to win from 1/2 to 1. If the change is no better, the chance that the
        stake ever reaches 1 / a is at most a, however often one looks and whenever one stops.

        Example:
            >>> Paired(lost=0, won=6).stake < 20 < Paired(lost=0, won=7).stake
            True
        """
        total = self.lost + self.won
        # The mean is 2^(total + 1) times an incomplete beta function, which is a sum of ways.
        found = _ways(self.lost + 1, total + 1)
        alike = (total + 1) * comb(total, self.won)
        return float(_LARGEST if found >= _LARGEST * alike else found / alike)


@dataclass(frozen=True)
class PairedClasses(Paired):
    """The same, and of the images of each class: a change that wins may lose a rare class."""

    by_class: dict[int, Paired] = field(default_factory=dict)

    @classmethod
    def of_classes(
        cls, before: np.ndarray, after: np.ndarray, classes: np.ndarray
    ) -> PairedClasses:
        """From whether each image was read right, bool (n,), and its class, int (n,)."""
        each = {
            int(k): Paired.of(before[classes == k], after[classes == k]) for k in np.unique(classes)
        }
        whole = Paired.of(before, after)
        return cls(whole.lost, whole.won, each)


def _tail(least: int, total: int) -> float:
    """The chance of `least` heads or more in `total` throws of a fair coin."""
    return float(_ways(least, total) / 2**total)


def _ways(least: int, total: int) -> int:
    """How many of all ways to throw a coin `total` times have `least` heads or more."""
    ways = comb(total, least)
    found = 0
    for heads in range(least, total + 1):
        found += ways
        ways = ways * (total - heads) // (heads + 1)
    return found
