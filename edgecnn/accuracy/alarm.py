"""The live alarm: is the field worse than the lab, judged as often as one likes while labels come.

A 95 % interval that is looked at after every label leaves the truth out sooner or later. The alarm
bets instead: its stake starts at 1 and is how much likelier the answers are in a field that is
worse than the lab than in one that is as good. While the field is as good, the stake can't be
expected to grow, so the chance that it ever reaches 20 is at most 1 / 20, however often one looks
and whenever one stops (Ville's inequality). "As good" means: at an accuracy that the lab's own
images allow. Their number is limited, so the stake takes the mean over these accuracies.

Each thing counts once, by its first label: further frames of it would bet on the same answer.

Source: Robbins 1970, doi:10.1214/aoms/1177696786 (mixtures of bets); Waudby-Smith & Ramdas 2023,
doi:10.1093/jrsssb/qkad009 (betting, and confidence sequences from it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, computed

__all__ = ["FALSE_ALARM_RATE", "Alarm", "stakes"]

FALSE_ALARM_RATE = 0.05
"""The largest share of sessions as good as the lab in which an alarm is ever raised."""

# The fields that are bet on: their odds of an error are so many times the lab's.
_ODDS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
_POINTS, _WIDE = 81, 6.0  # accuracies that the lab allows: how many, and to how many deviations
_LARGEST = 1e12


@dataclass(frozen=True)
class Alarm(Record):
    """Whether labels show that the field is worse than the lab.

    things    different things with a label of chance or of a whole stretch; `right` of them were
              answered right at their first label
    evidence  the stake, from 1; at 20 the alarm is raised

    Example:
        >>> Alarm.of(Tally(980, 1000), right=80, things=90).raised
        True
        >>> Alarm.of(Tally(980, 1000), right=88, things=90).raised
        False
    """

    things: int
    right: int
    evidence: float

    @classmethod
    def of(cls, lab: Tally, right: int, things: int) -> Alarm:
        """Weigh the first answers to `things` against the lab's accuracy."""
        if lab.accuracy is None or not things:
            return cls(things, right, 1.0)
        stake = stakes(lab, np.array([right]), np.array([things - right]))
        return cls(things, right, round(float(stake[0]), 4))

    @property
    @computed
    def raised(self) -> bool:
        """Whether the evidence is enough."""
        return self.evidence >= 1 / FALSE_ALARM_RATE

    @property
    def seen(self) -> str:
        """What it is judged by."""
        return f"{self.right} of {self.things} different things right"

    def text(self) -> str:
        """As a person reads it."""
        if not self.things:
            return "unknown: no labelled frames"
        if not self.raised:
            return f"none ({self.seen})"
        rate = f"{100 * FALSE_ALARM_RATE:.0f}"
        false = f"a false alarm in {rate} % of runs at most"
        return f"the field is worse than the lab ({self.seen}; {false})"


def stakes(lab: Tally, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """How much likelier answers are in a field that is worse than the lab than in one as good.

    Args:
        right, wrong: int, shape (n,): first answers to things, at n looks.

    Returns:
        float64, shape (n,): the mean over the fields that are bet on, at most 1e12.
    """
    count = lab.worth
    good = count * (lab.accuracy or 0.0) + 0.5
    bad = count + 1 - good
    # Log odds of an error in the lab, and how likely the lab's images make each (up to a factor).
    spread = _WIDE * (1 / good + 1 / bad) ** 0.5
    odds = np.log(bad / good) + np.linspace(-spread, spread, _POINTS)
    weight = _log_chance(odds, np.array(good), np.array(bad))
    as_good = _mean(weight + _log_chance(odds, right[:, None], wrong[:, None]))
    worse = (odds + np.log(_ODDS)[:, None])[:, None]
    logs = _mean(weight + _log_chance(worse, right[:, None], wrong[:, None])) - as_good
    return np.asarray(np.exp(np.minimum(logs, np.log(_LARGEST))).mean(axis=0))


def _log_chance(odds: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The logarithm of the chance of an answer sequence, where errors have these log odds."""
    return np.asarray(-right * np.logaddexp(0, odds) - wrong * np.logaddexp(0, -odds))


def _mean(logs: np.ndarray) -> np.ndarray:
    """The logarithm of the mean over the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(logs - top).mean(axis=-1)))
