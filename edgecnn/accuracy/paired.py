"""The one paired test: did a change make answers to the same images better or worse?

Only images on which the two sides differ count. Where the change does nothing, each of them is
lost or won with chance 1/2, so the binomial distribution gives the exact chance. No scipy: the
test runs on the device too.

Source: McNemar 1947, doi:10.1007/BF02295996; the exact form is the sign test.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

__all__ = ["Paired"]


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


def _tail(least: int, total: int) -> float:
    """The chance of `least` heads or more in `total` throws of a fair coin."""
    ways = comb(total, least)
    found = 0
    for heads in range(least, total + 1):
        found += ways
        ways = ways * (total - heads) // (heads + 1)
    return float(found / 2**total)
