"""Two bundles on the same frames: the one that answers, and a shadow that answers beside it.

`run` counts pairs as they come, with labels before or after them; `audit` counts those of whole
sessions. Both make the same comparison: how often the two agree and, on labelled frames, an exact
paired test over things, since frames that show the same thing repeat each other.

That test holds for one look. Who asks after every label whether the shadow may take over needs
`is_better`: there each thing counts once, by its first labelled frame (see `Paired.stake`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, computed, json_as
from edgecnn.words import number

__all__ = ["FALSE_SWITCH_RATE", "PairCounts", "ShadowComparison", "ShadowPairs"]

FALSE_SWITCH_RATE = 0.05
"""The largest share of runs in which a shadow that is no better is ever found better."""

_CLEAR = 0.05  # a difference with a smaller p is named
# Things whose sums stay open for a return.
_MOST_OPEN = 8192
_LOOKS = 50  # an interval, as a share of the labels that have come


@dataclass(frozen=True)
class ShadowComparison(Record):
    """What both bundles answered to the same frames.

    path, sha256      the shadow's bundle
    frames, agreed    frames that both answered, and how many of them alike
    active, shadow    accuracy of both on the labelled ones among these frames
    only_active, only_shadow  labelled frames that only one of them read right
    lost, won         things of which the shadow read fewer, or more, frames right
    first_lost, first_won  things whose first labelled frame only one of them read right
    logged            None: `frames` and `agreed` are counted; else they and both accuracies are
                      estimated from so many answers of a log that leaves others out
    earlier           the bundle that both accuracies and all counts are of beside the shadow, where
                      that answers itself by now; else None

    Labels of frames that were picked because an answer was uncertain, or by a person, don't count:
    they are no sample.
    """

    path: str
    sha256: str
    frames: int
    agreed: int
    active: Tally
    shadow: Tally
    only_active: int
    only_shadow: int
    lost: int
    won: int
    first_lost: int
    first_won: int
    logged: int | None = field(default=None, metadata=json_as(if_any=True))
    earlier: str | None = field(default=None, metadata=json_as(if_any=True))

    @property
    @computed
    def p_value(self) -> float:
        """The chance of a difference this large over things if both were equally good."""
        return Paired(self.lost, self.won).p_value

    @property
    @computed
    def evidence(self) -> float:
        """The stake of a bet on the shadow, from 1: see `Paired.stake`."""
        return round(Paired(self.first_lost, self.first_won).stake, 4)

    @property
    def is_better(self) -> bool:
        """Whether the shadow may take over: it wins more things, and loses no frames by that."""
        is_sure = self.evidence >= 1 / FALSE_SWITCH_RATE
        return is_sure and self.only_shadow >= self.only_active

    @property
    def name(self) -> str:
        return f"{Path(self.path).name} ({self.sha256[:12]})"

    def to_text(self) -> str:
        """A line: agreement, then accuracy and the paired test where there are labels."""
        alike, other = f"{self.name} {self._agreement()}", "the bundle that ran"
        if self.earlier is not None:
            alike, other = f"{alike} as {self.earlier}, before it answered itself", self.earlier
        if not self.active.total:
            return f"{alike}; without labels nothing says which is better"
        each = "" if self.logged is None else " (weighed too)"
        return (
            f"{alike}; labelled ones{each}: the shadow {self.shadow.text()}; {other} "
            f"{self.active.text()}; only the shadow is right on "
            f"{number(self.only_shadow, 'frame')}, only the other on {self.only_active}; better on "
            f"{number(self.won, 'thing')}, worse on {self.lost}, exact test "
            f"p = {self.p_value:.2g}: {self._verdict()}"
        )

    def _agreement(self) -> str:
        """How often the two agree, and where that is an estimate."""
        if self.logged is None:
            return f"gives the same answer to {self.agreed} of {self.frames} frames"
        if not self.frames:
            return "can't be compared: none of its answers is logged that chance picked"
        share = f"{100 * self.agreed / self.frames:.1f} %"
        return (
            f"gives the same answer to about {share} of {number(self.frames, 'frame')} (weighed: "
            f"the log holds {self.logged} of them, the uncertain ones more often than others)"
        )

    def weighed(
        self, frames: float, agreed: float, active: Tally, shadow: Tally
    ) -> ShadowComparison:
        """The same with estimates for all frames, of which the log left some out.

        Args:
            frames, agreed: Sums over the answers of both, each for as many as it stands for.
            active, shadow: Their accuracy, by labels that count for as many.
        """
        return replace(
            self,
            frames=round(frames),
            agreed=round(agreed),
            active=active,
            shadow=shadow,
            logged=self.frames,
        )

    def why_better(self) -> str:
        """Why the shadow may take over, or why not."""
        if not self.active.total:
            return (
                "no frame that both answered has a label of chance or of a whole stretch, and "
                "others are no sample"
            )
        first = (
            f"at the first label of each thing only the shadow was right on {self.first_won} "
            f"things, only the other on {self.first_lost}; evidence {self.evidence:.4g}"
        )
        rate, least = f"{100 * FALSE_SWITCH_RATE:g}", f"{1 / FALSE_SWITCH_RATE:g}"
        if self.evidence < 1 / FALSE_SWITCH_RATE:
            return f"{first} of the {least} that would show that it is better"
        if not self.is_better:
            return f"{first}, but of all labelled frames it read fewer right"
        return f"{first} (from {least} on, a false switch in {rate} % of runs at most)"

    def _verdict(self) -> str:
        if self.p_value >= _CLEAR:
            return "not identified which is better"
        return f"the shadow is {'better' if self.won > self.lost else 'worse'}"


@dataclass(frozen=True)
class PairCounts:
    """What labelled pairs add up to; counts of parts add up if no thing is in both."""

    active: Clusters
    shadow: Clusters
    paired: Paired
    firsts: Paired
    only_active: int = 0
    only_shadow: int = 0

    @classmethod
    def of(cls, sums: np.ndarray) -> PairCounts:
        """Count things.

        Args:
            sums: int, shape (things, 6): labelled frames of each, those that the bundle read
                right, those that the shadow did, and those that both did; then whether the bundle
                and whether the shadow read the first of them right.
        """
        count, active, shadow, both, *first = np.asarray(sums, np.int64).reshape(-1, 6).T
        return cls(
            _clusters(count, active),
            _clusters(count, shadow),
            Paired.of(active, shadow),
            Paired.of(*first),
            int((active - both).sum()),
            int((shadow - both).sum()),
        )

    @classmethod
    def of_rows(cls, active: np.ndarray, shadow: np.ndarray, thing: np.ndarray) -> PairCounts:
        """Count labelled frames, in order.

        Args:
            active, shadow: bool, shape (n,): whether each of the two is right.
            thing: int, shape (n,): what they show.
        """
        _, first, member = np.unique(thing, return_index=True, return_inverse=True)
        columns = (np.ones(len(member)), active, shadow, active & shadow)
        sums = [np.bincount(member, weights=column).round() for column in columns]
        return cls.of(np.stack([*sums, active[first], shadow[first]], axis=1))

    def __add__(self, other: PairCounts) -> PairCounts:
        return PairCounts(
            self.active + other.active,
            self.shadow + other.shadow,
            self.paired + other.paired,
            self.firsts + other.firsts,
            self.only_active + other.only_active,
            self.only_shadow + other.only_shadow,
        )

    def comparison(self, path: str, sha256: str, frames: int, agreed: int) -> ShadowComparison:
        """The comparison with a bundle, and what is known of all frames, labelled or not."""
        return ShadowComparison(
            path,
            sha256,
            frames,
            agreed,
            self.active.tally(),
            self.shadow.tally(),
            self.only_active,
            self.only_shadow,
            self.paired.lost,
            self.paired.won,
            self.firsts.lost,
            self.firsts.won,
        )


class ShadowPairs:
    """Counts the pairs of a run that goes on; memory stays bounded for days.

    Args:
        window: A label may come for so many of the newest pairs, and wait for twice as many.
        by_looks: Whether looks tell what frames show: then those of two labels show two things.
    """

    def __init__(self, window: int = 10_000, *, by_looks: bool = True) -> None:
        self._window, self._by_looks = window, by_looks
        self.frames = self.agreed = 0
        self._pairs: dict[int, tuple[int, int, int]] = {}  # by frame: both answers, and the thing
        self._labels: dict[int, tuple[int, bool]] = {}  # by frame: the label, and if it counts
        self._open: dict[tuple[int, int], list[int]] = {}  # sums of things that may return
        self._closed = PairCounts.of(np.zeros((0, 6)))
        self._seen = self._looked = 0  # labels that count: so far, and when they were looked at

    def answer(self, frame: int, active: int, shadow: int, thing: int) -> None:
        """Hold both answers to a frame: indices of labels."""
        self.frames += 1
        self.agreed += active == shadow
        self._pairs[frame] = (active, shadow, thing)
        if len(self._pairs) > self._window:
            self._settle(next(iter(self._pairs)))

    def truth(self, frame: int, label: int, *, counts: bool) -> None:
        """Hold what a frame shows now; it replaces what was said before.

        Args:
            label: Its index; below 0 where it is none of the labels, or where none is left.
            counts: Whether chance picked the frame, or a whole stretch was labelled.
        """
        self._labels[frame] = label, counts
        self._seen += counts
        if len(self._labels) > 2 * self._window:
            del self._labels[next(iter(self._labels))]

    def takes_a_look(self) -> bool:
        """Whether it is time to look at the comparison again: a fiftieth more labels have come."""
        if self._seen - self._looked <= self._looked // _LOOKS:
            return False
        self._looked = self._seen
        return True

    def comparison(self, path: str, sha256: str) -> ShadowComparison:
        """The comparison with a bundle so far."""
        sums = {name: list(cell) for name, cell in self._open.items()}
        for frame in sorted(self._labels.keys() & self._pairs.keys()):
            self._add(sums, self._pairs[frame], self._labels[frame])
        counts = self._closed + PairCounts.of(np.array(list(sums.values())))
        return counts.comparison(path, sha256, self.frames, self.agreed)

    def _settle(self, frame: int) -> None:
        """Keep only the sums of a frame, and of things that were not seen for long."""
        self._add(self._open, self._pairs.pop(frame), self._labels.pop(frame, None))
        if len(self._open) > 2 * _MOST_OPEN:
            oldest = list(islice(self._open, _MOST_OPEN))
            self._closed += PairCounts.of(np.array([self._open.pop(name) for name in oldest]))

    def _add(
        self,
        sums: dict[tuple[int, int], list[int]],
        pair: tuple[int, int, int],
        label: tuple[int, bool] | None,
    ) -> None:
        """Add a pair to the sums of its thing, where a label counts; that becomes the newest."""
        code, counts = label or (-1, False)
        if code < 0 or not counts:
            return
        active, shadow, thing = pair
        right = (True, active == code, shadow == code, active == code == shadow)
        name = thing, code if self._by_looks else 0
        cell = sums.pop(name, [0, 0, 0, 0, *right[1:3]])
        sums[name] = [*(held + one for held, one in zip(cell, right, strict=False)), *cell[4:]]


def _clusters(count: np.ndarray, right: np.ndarray) -> Clusters:
    """Each answer of weight 1."""
    sums = np.stack([count, right], axis=1)[:, :, None].astype(float)
    return Clusters.of_sums(count, right, sums, count[:, None].astype(float))
