"""Check the truth before the model: do the answers fit the labels in another order?

Labels come late, run backwards, belong to another sort order, or have their names exchanged. Each
of these leaves answers that fit the labels as well as in the lab, once the labels are put right.
A real weakness of the model does not: it has no reason to be right at a shift of 12 frames.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from edgecnn.accuracy.intervals import confusion
from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.recordings.exchanges import best_order, exchanged_regions, region_rows
from edgecnn.audit.recordings.label_comparison import LabelComparison
from edgecnn.audit.recordings.label_lag import MOST, answers_of_labels, best_lag, late_part, shifted
from edgecnn.session.answers import NO_TRUTH, region_of
from edgecnn.session.headline import is_right, labelled_rows
from edgecnn.session.read import Frames, Session, Truth, frame_events, read_frames

__all__ = ["TruthFault", "check_truth"]

# Fewer labelled frames say nothing, and a loss under so many points is not looked into.
_FEWEST, _LEAST_POINTS = 30, 3.0
# Other labels have to close this share of the loss, on far more stretches than they spoil.
_CLOSES, _CHANCE = 0.5, 0.002
# ... or, if the model is weak: they change this many answers, nearly none of which fits the labels
# as they are, but as many of which fit the other labels as elsewhere.
_FEWEST_CHANGED, _FITS_NOT, _FITS, _AS_ELSEWHERE = 30, 0.15, 0.5, 0.85
# Names that are exchanged have passed a stricter test already.
_CHANCE_OF_NAMES = 0.05
# The best of many parts, in points more than all labels together return.
_CHANCE_OF_PART, _CLEARLY = 1e-6, 5.0
# An exchange of names: this share of each class that moves must be answered by its new name, and
# this one by its own.
_MOVED, _KEPT, _FEWEST_MOVED = 0.8, 0.1, 3
# Of a weak model, half of a class that has so many frames.
_ENOUGH = 10
# Where at least so many move, all of them together have to fit as `_FITS` says: that many
# confusions of a weak model do not close to a circle.
_MANY = 4
# Labels in an unknown order: nothing is left of the agreement (Cohen's kappa), but the numbers
# of frames of each class agree. However weak the model is in the lab: in the field it may name few
# classes, none of them where it is.
_KAPPA, _OVERLAP = 0.1, 0.9


@dataclass(frozen=True)
class TruthFault:
    """What is wrong with the labels.

    Args:
        name: In a person's words, such as "labels come 12 frames late".
        before: The live accuracy of these frames with the labels as they are.
        after: With the labels put right; None where nobody can say.
        label: int32, shape (n,), of `Truth.label` put right; None where nobody can say.
    """

    name: str
    before: Tally
    after: Tally | None
    label: np.ndarray | None

    @property
    def points(self) -> float | None:
        """What the fault costs."""
        if self.after is None:
            return None
        return 100 * ((self.after.accuracy or 0.0) - (self.before.accuracy or 0.0))

    @property
    def evidence(self) -> str:
        if self.after is None:
            return (
                f"{self.before.percent} of the answers fit their labels, as by chance, though both "
                "name each class about as often"
            )
        return (
            f"with the labels put right {self.after.percent} of {self.after.total} answers fit, "
            f"with the labels as they are {self.before.percent}"
        )


@dataclass(frozen=True)
class _Hypothesis:
    """A way in which labels may be wrong, and the labels put right: int, shape (n,).

    separate: each frame speaks for itself; a shift changes labels by stretches.
    lag: by how many frames labels are late, if that is it.
    chance: the largest chance of such an improvement by accident.
    """

    name: str
    label: np.ndarray
    separate: bool = False
    chance: float = _CHANCE
    lag: int = 0


def check_truth(
    session: Session, frames: Frames, truth: Truth, expected: float
) -> TruthFault | None:
    """Find out whether the labels of a session are shifted, reversed, reordered or renamed, in all
    of its regions or in some.

    Args:
        expected: Accuracy of the artifact in the lab, a fraction.
    """
    found = _fault_of(session, frames, truth, expected)
    if found is not None or len(frames.regions) < 2:
        return found
    names, label = [], truth.label.copy()
    for name, rows in region_rows(frames).items():
        alone = np.full_like(truth.label, NO_TRUTH)
        alone[rows] = truth.label[rows]
        fault = _fault_of(session, frames, replace(truth, label=alone), expected)
        if fault is not None and fault.label is not None:
            names.append(f"{fault.name} (region {name})")
            label[rows] = fault.label[rows]
        elif fault is not None:
            found = replace(fault, name=f"{fault.name} (region {name})")
    if not names:
        return found
    before = Tally.of(is_right(frames, truth, labelled_rows(truth)))
    after = Tally.of((label == frames.index)[label >= 0])
    return TruthFault("; ".join(names), before, after, label)


def _fault_of(session: Session, frames: Frames, truth: Truth, expected: float) -> TruthFault | None:
    """The fault of all labels together."""
    right = is_right(frames, truth, labelled_rows(truth))
    before = Tally.of(right)
    if len(right) < _FEWEST or 100 * (expected - float(right.mean())) < _LEAST_POINTS:
        return None
    found = []
    for one in _hypotheses(session, frames, truth):
        after = _improvement(frames, truth, one, expected)
        if after is not None:
            found.append(TruthFault(one.name, before, after, one.label))
        elif one.lag:
            found += _shift_of_few(frames, truth, one, before, expected)
    best = max(found, key=lambda fault: fault.points or 0.0, default=None)
    if (late := _late_part(frames, truth)) is not None:
        after = _improvement(frames, truth, late, expected)
        part = TruthFault(late.name, before, after, late.label)
        # Of labels that are all late the part without the errors at either end fits a bit better.
        if after and (best is None or (part.points or 0.0) > (best.points or 0.0) + _CLEARLY):
            return part
    if best is not None:
        return best
    if _is_shuffled(_confusion(session, frames, truth)):
        return TruthFault("labels are in another order than the frames", before, None, None)
    return None


def _hypotheses(session: Session, frames: Frames, truth: Truth) -> Iterator[_Hypothesis]:
    """Labels put right in each way that can be told from the answers."""
    renamed = _renamed(_confusion(session, frames, truth), session.card.labels)
    if renamed is not None:
        name, order = renamed
        label = _changed(truth.label, order.astype(truth.label.dtype).take)
        yield _Hypothesis(name, label, frames.separate, _CHANCE_OF_NAMES)
    yield _Hypothesis("labels run backwards", _changed(truth.label, np.flip))
    if frames.separate:
        for name, label in _sorted_otherwise(session, frames, truth):
            yield _Hypothesis(name, label, separate=True)
    if len(frames.regions) > 1 and (exchanged := exchanged_regions(frames, truth.label)):
        yield _Hypothesis(*exchanged, frames.separate)
    # The lag is sought in the first region that has a label.
    first = int((truth.label >= 0).argmax())
    rows = next(rows for rows in region_rows(frames).values() if first < rows.stop)
    lag = best_lag(frames.key[rows], frames.index[rows], truth.label[rows])
    if lag:
        other = shifted(frames.key, truth.label, lag)
        yield _Hypothesis(_shift_name(lag, "frames", 0), other, lag=lag)
    if not frames.separate:
        for name, label in _shifted_by_time(session, frames, truth):
            yield _Hypothesis(name, label)


def _late_part(frames: Frames, truth: Truth) -> _Hypothesis | None:
    """Labels of a part that come late or early, as after a line that somebody left out."""
    rows = labelled_rows(truth)
    if len(np.unique(region_of(frames.key[rows[[0, -1]]]))) > 1:
        return None  # each region is looked at by itself
    found = late_part(frames.index[rows], truth.label[rows])
    if found is None:
        return None
    lag, part, put_right = found
    label = truth.label.copy()
    label[rows] = put_right
    numbers = frames.frame[rows[part]]
    first, last = int(numbers[0]), int(numbers[-1])
    unit = "frames" if last - first + 1 == len(numbers) else "labels"
    # The last answers may be wrong by themselves.
    until = "on" if len(rows) - part.stop <= abs(lag) + _FEWEST_MOVED else f"to {last}"
    name = f"from frame {first} {until} {_shift_name(lag, unit, 0)}"
    return _Hypothesis(name, label, chance=_CHANCE_OF_PART)


def _changed(label: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Other labels of the frames that have one of the card; the rest stay without."""
    other, is_labelled = label.copy(), label >= 0
    other[is_labelled] = change(label[is_labelled])
    return other


def _confusion(session: Session, frames: Frames, truth: Truth) -> np.ndarray:
    """How many frames of each label got each answer: int64, shape (classes, classes)."""
    return confusion(truth.label, frames.index, len(session.card.labels))


def _improvement(
    frames: Frames, truth: Truth, hypothesis: _Hypothesis, expected: float
) -> Tally | None:
    """The tally by other labels where they close enough of the loss, on enough stretches."""
    found = LabelComparison.of(frames, truth.label, hypothesis.label, separate=hypothesis.separate)
    if found.total < _FEWEST:
        return None
    closes = found.gain >= _CLOSES * (expected - found.before)
    if not closes and not _is_told_apart(found):
        return None
    if not _is_gain(found.gain, found.stretches, hypothesis.chance):
        return None
    counted = np.flatnonzero(hypothesis.label >= 0).astype(np.int32)
    return Tally.of((hypothesis.label == frames.index)[counted])


def _is_gain(gain: float, stretches: Paired, chance: float) -> bool:
    """Whether more fit by enough points, on far more stretches than accident explains."""
    return 100 * gain >= _LEAST_POINTS and stretches.p_better <= chance


def _shift_of_few(
    frames: Frames, truth: Truth, hypothesis: _Hypothesis, tally: Tally, expected: float
) -> list[TruthFault]:
    """The fault where so few frames are labelled that none has a label and a shifted one.

    Without labels put right: framing and light can't be told from so few.
    """
    if ((truth.label >= 0) & (hypothesis.label >= 0)).sum() >= _FEWEST:
        return []
    own, at = answers_of_labels(frames.key, truth.label, hypothesis.lag)
    if len(own) < _FEWEST:
        return []
    before, after = (truth.label[own] == frames.index[rows] for rows in (own, at))
    closes = after.mean() - before.mean() >= _CLOSES * (expected - before.mean())
    gain = float(after.mean() - before.mean())
    if not closes or not _is_gain(gain, Paired.of(before, after), hypothesis.chance):
        return []
    return [TruthFault(hypothesis.name, tally, Tally.of(after), None)]


def _is_told_apart(found: LabelComparison) -> bool:
    """Whether the answers whose labels change fit the other labels as well as the rest fit theirs.

    Of a weak model no labels close half of the loss, but its errors do not fit other labels.
    """
    unchanged = found.total - found.changed
    if min(found.changed, unchanged) < _FEWEST_CHANGED:
        return False
    fits = found.changed_after / found.changed
    elsewhere = (found.num_after - found.changed_after) / unchanged
    is_misfit = found.changed_before / found.changed <= _FITS_NOT
    return is_misfit and fits >= max(_FITS, _AS_ELSEWHERE * elsewhere)


def _renamed(counts: np.ndarray, names: Sequence[str]) -> tuple[str, np.ndarray] | None:
    """Classes that exchanged their names: what to say, and the index that each label should be.

    Every class that moves must be answered by its new name mostly and by its own nearly never,
    and the classes must change places among themselves: real confusions go one way. Where many
    move, what holds of each holds of all together.

    Args:
        counts: int, shape (classes, classes): label by answer.
    """
    size = len(names)
    order = best_order(counts)
    moved = np.flatnonzero(order != np.arange(size))
    if len(moved) < 2 or counts[moved].sum(axis=1).min() < _FEWEST_MOVED:
        return None
    total = counts[moved].sum(axis=1)
    named, own = counts[moved, order[moved]], counts[moved, moved]
    if len(moved) < _MANY:
        share = np.where(total >= _ENOUGH, _FITS, _MOVED)
        fits = bool((named >= share * total).all() and (own <= _KEPT * total).all())
    else:
        rest = np.setdiff1d(np.arange(size), moved)
        elsewhere = counts[rest, rest].sum() / max(1, counts[rest].sum())
        fits = bool(own.sum() <= _FITS_NOT * total.sum() and (named > own).all())
        fits &= bool(named.sum() >= max(_FITS, _AS_ELSEWHERE * elsewhere) * total.sum())
    if not fits:
        return None
    pairs = ", ".join(f"{names[k]!r} is {names[order[k]]!r}" for k in moved[:3].tolist())
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return f"labels have other names: {pairs}{more}", order


def _sorted_otherwise(
    session: Session, frames: Frames, truth: Truth
) -> Iterator[tuple[str, np.ndarray]]:
    """Labels that were written down for the files in another sort order."""
    names = read_frames(session, keep_names=True).names
    rows = np.flatnonzero(truth.label >= 0)
    if len(names) < len(frames):
        return
    files = [names[int(row)] for row in rows]
    orders: dict[str, list[tuple[Any, ...]]] = {
        "by number (2 before 10)": [_by_number(name) for name in files],
        "by file name without folder": [(name.rpartition("/")[2],) for name in files],
        "by letters (10 before 2)": [(name,) for name in files],
    }
    for how, keys in orders.items():
        order = np.array(sorted(range(len(files)), key=keys.__getitem__))
        if (order == np.arange(len(order))).all():
            continue
        label = truth.label.copy()
        # The labels, as they come, belong to the files in that order.
        label[rows[order]] = truth.label[rows]
        yield f"labels are of the files sorted {how}", label


def _by_number(name: str) -> tuple[tuple[int, int | str], ...]:
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def _shift_name(lag: float, unit: str, digits: int) -> str:
    way = "late" if lag > 0 else "early"
    unit = unit[:-1] if abs(lag) == 1 and not digits else unit
    return f"labels come {abs(lag):.{digits}f} {unit} {way}"


def _shifted_by_time(
    session: Session, frames: Frames, truth: Truth
) -> Iterator[tuple[str, np.ndarray]]:
    """Labels that are late by a time: another number of frames where the rate changes."""
    # The lag is sought in the first frames only: all times are read where there is one.
    times = _times(session, frames, MOST)
    steps = np.zeros(0) if times is None else np.diff(times)
    if times is None or not (steps > 0).any() or (steps < 0).any():
        return
    width = float(np.median(steps[steps > 0])) / 2
    place = np.floor((times - times[0]) / width).astype(np.int64)
    lag = best_lag(place, frames.index[: len(place)], truth.label[: len(place)])
    times = _times(session, frames, len(frames)) if lag else None
    if times is not None and not (np.diff(times) < 0).any():
        seconds = lag * width
        at = np.searchsorted(times, times + seconds, side="right") - 1
        inside = (at >= 0) & (times + seconds <= times[-1])
        label = np.where(inside, truth.label[np.clip(at, 0, None)], -1)
        yield _shift_name(seconds, "seconds", 1), label


def _times(session: Session, frames: Frames, most: int) -> np.ndarray | None:
    """When the first `most` frames were captured, in seconds.

    None where a frame does not say, or of regions.
    """
    if len(frames.regions) > 1:
        return None
    number, moment = array("q"), array("d")
    # Lines that are broken, and frames that were logged again, stand among them.
    for event in islice(frame_events(session), most + frames.broken + frames.repeated):
        seconds = event.seconds
        if seconds is None and event.t_ms is not None:
            seconds = event.t_ms / 1000
        if seconds is not None:
            number.append(event.frame)
            moment.append(seconds)
    key = frames.key[:most]
    found = np.full(len(key), np.nan)
    at = np.minimum(np.searchsorted(key, np.array(number)), len(key) - 1)
    known = np.flatnonzero(key[at] == np.array(number))
    found[at[known]] = np.array(moment)[known]
    return None if bool(np.isnan(found).any()) else found


def _is_shuffled(counts: np.ndarray) -> bool:
    """Whether answers and labels name each class as often, but not on the same frames.

    Args:
        counts: int, shape (classes, classes): label by answer.
    """
    answered, told = (counts.sum(axis=axis) / counts.sum() for axis in (0, 1))
    chance = float(answered @ told)
    right = float(counts.trace() / counts.sum())
    overlap = float(np.minimum(answered, told).sum())
    kappa = (right - chance) / max(1e-9, 1 - chance)
    return overlap >= _OVERLAP and kappa <= _KAPPA and chance < 0.5
