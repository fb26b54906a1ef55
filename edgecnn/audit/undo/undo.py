"""What one other setting of framing or light returns, measured on groups that did not choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.audit.ledger.change import Change
from edgecnn.audit.ledger.other_framing import FRAMING, framing_changes
from edgecnn.audit.ledger.other_light import LIGHT, light_changes
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.undo.changed_answers import (
    KeptLabelled,
    Readers,
    labelled_frames,
    open_classifier,
)
from edgecnn.audit.undo.fragile import Fragility, nudges
from edgecnn.audit.undo.placebo import placebo_changes
from edgecnn.audit.undo.splits import HOLDS, Return, measure_return
from edgecnn.bundle.folder import Bundle
from edgecnn.records import Progress
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.words import number

__all__ = ["NOTHING_UNDONE", "NOT_IDENTIFIED", "Prescription", "Undone", "undo"]

NOT_IDENTIFIED = "framing or light: not identified which"
# With fewer different objects, misread ones or all, nothing is tried.
_FEWEST_WRONG, _FEWEST_GROUPS = 3, 12
# A family has a step if it returns so many points, if a setting was chosen in so many of the
# splits, if chance alone rarely has one as clear, and if it returns so many points more than
# patterns that mean nothing, in so many of the splits (and twice as much).
_LEAST, _OFTEN, _CHANCE = 1.0, 0.5, 0.05
# Two families mend the same errors if this share of the shorter list stands on both; which of
# them it is is then known only where one returns over twice as much.
_SAME, _COMPARABLE = 0.6, 0.5
# So many settings are tried on top of the first.
_MORE = 2
# Frames that are read right are tried so many at a time.
_BLOCK = 16


@dataclass(frozen=True)
class Prescription:
    """The one setting that returns most, and what.

    shape    of the first kept frame; `is_one_shape`: all are so large
    example  a misread frame as it is, and changed so that it is read right: uint8 R, G, B
    """

    cause: str
    change: Change
    returned: Return
    shape: tuple[int, ...]
    is_one_shape: bool
    example: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Undone:
    """Steps of the ledger, what to set, which errors are fragile, and what is not known and why."""

    steps: tuple[Step, ...] = ()
    prescription: Prescription | None = None
    fragility: Fragility | None = None
    notes: tuple[str, ...] = ()


NOTHING_UNDONE = Undone()
_TELL_APART = (
    "framing or light: record the same objects once more under another light, and once with the "
    "camera nearer; the recording in which they are read right tells which"
)


@dataclass(frozen=True)
class _Family:
    """Settings of one cause, and what they return; won: float64, shape (settings, n).

    placebo  what faint patterns return; None as long as they were not tried
    """

    cause: str
    changes: Sequence[Change]
    won: np.ndarray
    returned: Return
    placebo: Return | None = None

    @property
    def is_clear(self) -> bool:
        """Whether it returns points, and not by the chance that some objects answer otherwise."""
        found = self.returned
        is_large = found.points >= _LEAST and found.often >= _OFTEN
        return found.chosen is not None and is_large and found.chance <= _CHANCE

    @property
    def holds(self) -> bool:
        """Whether it is a step: clear, and more than patterns that mean nothing return as well."""
        return (
            self.is_clear
            and self.placebo is not None
            and self.returned.beats(self.placebo, points=_LEAST, often=_OFTEN)
        )

    @property
    def best(self) -> Change | None:
        """The setting that all objects together choose."""
        return None if self.returned.chosen is None else self.changes[self.returned.chosen]

    def example(self, kept: KeptLabelled) -> tuple[np.ndarray, np.ndarray] | None:
        """A misread frame as it is, and as the best setting makes it: uint8 R, G, B."""
        mended = np.flatnonzero(self.won[self.returned.chosen or 0] > 0)
        if self.best is None or not len(mended):
            return None
        frame = kept.frames[int(mended[0])]
        return frame[..., ::-1], self.best.apply(frame)[..., ::-1]

    def mended(self, group: np.ndarray) -> set[int]:
        """The objects that its best setting reads right and that are misread as they are."""
        return set(group[self.won[self.returned.chosen or 0] > 0].tolist())


@dataclass(frozen=True)
class _Trial:
    """Tries settings on labelled kept frames."""

    kept: KeptLabelled
    readers: Readers
    progress: Progress | None

    def family(self, cause: str, changes: Sequence[Change]) -> _Family:
        """Try all settings of a cause."""
        won = self._won(cause, changes)
        return _Family(cause, changes, won, measure_return(won, self.kept.weight, self.kept.group))

    def _won(self, cause: str, changes: Sequence[Change]) -> np.ndarray:
        """1 where a setting reads a misread frame right, -1 the other way: float64, (settings, n).

        A setting that mends fewer than two objects can't be chosen: what it spoils is not tried.
        """
        kept = self.kept
        wrong, right = np.flatnonzero(~kept.right), np.flatnonzero(kept.right)
        won = np.zeros((len(changes), len(kept.label)))
        for k, change in enumerate(changes):
            mended = self._read(change, wrong)
            if len(np.unique(kept.group[wrong[mended]])) > 1:
                won[k, wrong] = mended
                won[k, right] = -self._spoiled(change, right, kept.weight[wrong] @ mended)
            if self.progress:
                self.progress(cause.split(" (")[0], k + 1, len(changes))
        return won

    def _spoiled(self, change: Change, rows: np.ndarray, enough: float) -> np.ndarray:
        """1 where a setting misreads a frame that is read right as it is: float64, shape (rows,).

        Args:
            enough: Once frames of this weight are spoiled the setting can't be chosen, and the
                rest is not read: each of it counts as one of those that were.
        """
        weight, blocks = self.kept.weight[rows], -(-len(rows) // _BLOCK)
        spoiled = np.full(len(rows), np.nan)
        for first in range(blocks):
            spoiled[first::blocks] = ~self._read(change, rows[first::blocks])
            if np.nansum(spoiled * weight) >= enough:
                break
        unread = np.isnan(spoiled)
        spoiled[unread] = np.resize(spoiled[~unread], int(unread.sum()))
        return spoiled

    def _read(self, change: Change, rows: np.ndarray) -> np.ndarray:
        """Which frames are read right under a change: bool, shape (rows,)."""
        return self.kept.read_right(change, self.readers, rows)

    def families(self) -> list[_Family]:
        """Both families, and what patterns return where one of them seems to return points."""
        families = [self.family(FRAMING, framing_changes()), self.family(LIGHT, light_changes())]
        if any(family.is_clear for family in families):
            most = max(len(family.changes) for family in families)
            placebo = self.family("placebo", placebo_changes(most)).returned
            families = [replace(family, placebo=placebo) for family in families]
        return families

    def fragility(self) -> Fragility | None:
        """How the misread frames answer to small nudges; None where chance kept none."""
        # Pictures that were kept for being hard are fragile more often than others.
        rows = np.flatnonzero(~self.kept.right & self.kept.sampled)
        if not len(rows):
            return None
        return Fragility.of(np.stack([self._read(nudge, rows) for nudge in nudges()]))


def undo(
    parts: Sequence[tuple[Session, Frames, Truth]],
    bundle: Bundle,
    expected: float,
    progress: Progress | None = None,
) -> Undone:
    """Try every setting of framing and light on the labelled kept frames.

    Args:
        expected: Accuracy of the artifact in the lab, a fraction; nothing is tried where the
            frames are read as well.
    """
    classifier = open_classifier(bundle, parts[0][0].artifact)
    if classifier is None:
        return NOTHING_UNDONE
    kept = labelled_frames(parts, classifier)
    if kept is None or 100 * (expected - kept.accuracy) < _LEAST:
        return NOTHING_UNDONE
    readers = Readers(classifier)
    trial = _Trial(kept, readers, progress)
    groups = len(np.unique(kept.group))
    if kept.wrong_groups < _FEWEST_WRONG or groups < _FEWEST_GROUPS:
        note = (
            f"framing and light: not identified; {number(kept.wrong_groups, 'different thing')} "
            f"misread among {groups} on the labelled kept frames, too few to choose a "
            "setting on one half and to score it on the other"
        )
        return Undone(fragility=trial.fragility(), notes=(note,))
    first = _judge(trial.families(), kept, trial.fragility())
    found, steps, names = first, first.steps, ""
    for _ in range(_MORE):
        if found.prescription is None:
            break
        change = found.prescription.change
        names += f"{' and ' if names else ''}{change.name!r}"
        kept = kept.under(change, readers)
        if 100 * (expected - kept.accuracy) < _LEAST or kept.wrong_groups < _FEWEST_WRONG:
            break
        found = _judge(replace(trial, kept=kept).families(), kept, None)
        steps = _both(steps, found.steps, f"with {names} already set: ")
    return replace(first, steps=steps)


def _both(first: Sequence[Step], last: Sequence[Step], where: str) -> tuple[Step, ...]:
    """The steps so far, and what one more setting returns where those before are made.

    A shift has two directions, and a cause seldom comes alone.

    Args:
        where: What the evidence of the last steps begins with: the settings before.
    """
    then = {step.cause: step for step in last if step.points > 0}
    known = {step.cause for step in first}
    own = (replace(s, evidence=where + s.evidence) for s in last if s.cause not in known)
    added = tuple(
        Step(
            step.cause,
            step.points + more.points,
            step.low + more.low,
            step.high + more.high,
            (f"{step.evidence}; " if step.points else "") + where + more.evidence,
            HOLDS,
        )
        if (more := then.get(step.cause))
        else step
        for step in first
    )
    return (*added, *(step for step in own if step.points > 0))


def _judge(
    families: Sequence[_Family],
    kept: KeptLabelled,
    fragility: Fragility | None,
) -> Undone:
    """One step a family; one for both where the same errors are mended by either."""
    steps = {family.cause: _step(family, kept) for family in families}
    notes: list[str] = []
    holding = sorted(
        (family for family in families if family.holds),
        key=lambda family: -family.returned.points,
    )
    if len(holding) == 2:
        more, less = holding
        first, second = (family.mended(kept.group) for family in holding)
        both = len(first & second)
        if both >= _SAME * min(len(first), len(second)):
            if less.returned.points >= _COMPARABLE * more.returned.points:
                step, returned = _rivals(holding, kept, (len(first), len(second), both))
                steps = {NOT_IDENTIFIED: step}
                notes.append(_TELL_APART)
                # What is advised returns what the ledger says, and it is the better one.
                holding = [replace(more, returned=replace(returned, chosen=more.returned.chosen))]
            else:
                steps[less.cause] = _shadowed(less, more)
                holding = [more]
    advised = [
        Prescription(
            family.cause,
            family.best,
            family.returned,
            kept.frames[0].shape,
            kept.is_one_shape,
            family.example(kept),
        )
        for family in holding
        if family.best is not None
    ]
    best = max(advised, key=lambda one: one.returned.points, default=None)
    return Undone(tuple(steps.values()), best, fragility, tuple(notes))


def _step(family: _Family, kept: KeptLabelled) -> Step:
    """The step of a family; 0.0 where no setting returns anything."""
    found, best, placebo = family.returned, family.best, family.placebo
    tried = f"{len(family.changes)} settings tried on {len(kept.label)} labelled kept frames"
    if not family.holds or best is None or placebo is None:
        how = f"{tried}: none returns points on things that did not choose it"
        if family.is_clear and best is not None and placebo is not None:
            how = (
                f"{tried}: {best.name!r} returns {found.points:+.1f} points on things that did "
                f"not choose it, but faint patterns that mean nothing {placebo.points:+.1f}"
            )
        return Step(family.cause, 0.0, min(0.0, found.low), max(0.0, found.high), how, HOLDS)
    how = (
        f"{tried}; {best.name!r} is best and returns {found.points:+.1f} points; chosen on half of "
        "the things and scored on the rest, mean of 200 splits, of which the interval holds 80 %; "
        f"faint patterns that mean nothing return {placebo.points:+.1f}"
    )
    return Step(family.cause, found.points, found.low, found.high, how, HOLDS)


def _shadowed(less: _Family, more: _Family) -> Step:
    """The step of a family that mends what the other mends as well, and more besides."""
    how = f"what {less.best and less.best.name!r} mends, {more.best and more.best.name!r} mends too"
    return Step(less.cause, 0.0, 0.0, max(0.0, less.returned.high), how, HOLDS)


def _rivals(
    families: Sequence[_Family], kept: KeptLabelled, mended: tuple[int, int, int]
) -> tuple[Step, Return]:
    """One step of both: what the better of them returns, each split choosing among all settings."""
    won = np.concatenate([family.won for family in families])
    found = measure_return(won, kept.weight, kept.group)
    names = [family.best.name for family in families if family.best]
    first, second, both = mended
    how = (
        f"{names[0]!r} mends {first} misread things and {names[1]!r} {second}, {both} of them the "
        f"same; the better returns {found.points:+.1f} points; the interval holds 80 % of 200 "
        "splits"
    )
    return Step(NOT_IDENTIFIED, found.points, found.low, found.high, how, HOLDS), found
