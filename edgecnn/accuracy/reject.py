"""Below which confidence an answer is no answer: chosen on some images, measured on others."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import numpy as np

from edgecnn.accuracy.quantiles import beta_quantile
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record

__all__ = ["Reject", "choose_threshold", "fit_reject"]

_SURE = 0.95


@dataclass(frozen=True)
class Reject(Record):
    """A confidence below which an answer is rejected.

    Args:
        threshold: The smallest confidence that is accepted, in [0, 1].
        error: The share of accepted answers that may be wrong, as it was asked for.
        coverage: The share of answers that were accepted where it was measured.
        accepted: How many of those were right.
    """

    threshold: float
    error: float
    coverage: float
    accepted: Tally

    def text(self) -> str:
        """As a person reads it."""
        return (
            f"below {100 * self.threshold:.1f} % confidence; {100 * self.coverage:.0f} % are "
            f"accepted, of these right {self.accepted.text()}"
        )


def choose_threshold(
    confidence: np.ndarray, correct: np.ndarray, error: float, share: float = 1.0
) -> float | None:
    """The lowest confidence from which on answers are wrong in at most this share, 95 % sure.

    The surest quarter of the answers is tried first (but not fewer than could ever show it), then
    one answer more after the other, until one can't be shown to hold: so the chance that the
    threshold does not hold is 5 % at most, however many are tried.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: bool, shape (n,).
        error: In (0, 1).
        share: How many independent answers one is worth, in (0, 1].

    Returns:
        None where no threshold can be shown to hold, as with too few answers.

    Source: the exact interval of Clopper & Pearson; fixed-sequence testing as in Angelopoulos et
    al. 2021, arXiv:2110.01052; selective classification, Geifman & El-Yaniv 2017, arXiv:1705.08500.
    """
    order = np.argsort(-confidence, kind="stable")
    falling, wrong = confidence[order], np.cumsum(~correct[order])
    ends = np.flatnonzero(np.append(np.diff(falling) < 0, True))  # equal ones go together
    fewest = max(ceil(log(1 - _SURE) / log(1 - error) / share), len(order) // 4)
    found = None
    for last in ends[ends + 1 >= fewest].tolist() if len(order) else ():
        mistakes, right = int(wrong[last]), last + 1 - int(wrong[last])
        if not right or beta_quantile(_SURE, share * mistakes + 1, share * right) > error:
            break
        found = float(falling[last])
    return found


def fit_reject(
    chosen_on: tuple[np.ndarray, np.ndarray],
    measured_on: tuple[np.ndarray, np.ndarray],
    error: float,
    wholes: tuple[Tally, Tally],
) -> Reject | None:
    """Choose a threshold on some answers and measure it on others.

    Args:
        chosen_on, measured_on: Confidence and whether right, as of `choose_threshold`.
        error: The share of accepted answers that may be wrong.
        wholes: The tallies of all answers of both: an accepted one is worth as much.
    """
    chosen, measured = wholes
    threshold = choose_threshold(*chosen_on, error, chosen.worth / max(1, chosen.total))
    if threshold is None:
        return None
    confidence, correct = measured_on
    taken = confidence >= threshold
    coverage = float(taken.mean()) if len(taken) else 0.0
    accepted = Tally.of(correct[taken]).worth_as(measured)
    return Reject(threshold, error, round(coverage, 6), accepted)
