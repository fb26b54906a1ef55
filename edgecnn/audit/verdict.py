"""The finding in one sentence, and training against lab accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally, gap_points
from edgecnn.audit.estimate import UNKNOWN, Estimate
from edgecnn.audit.faults import FieldChecks
from edgecnn.audit.live import Live
from edgecnn.audit.where.weak_sessions import WeakSessions
from edgecnn.bundle.card import Card
from edgecnn.bundle.last_layer import FEWEST_GROUPS
from edgecnn.records import Record
from edgecnn.session.layout import short_name
from edgecnn.words import number

__all__ = [
    "WIDE_GAP",
    "Overfitting",
    "alike_gap",
    "is_disputed",
    "is_handful",
    "shown_points",
    "verdict",
]

# One confusion that holds this share of so many errors is named, and so are labels that differ
# where they may be this share of the gap.
_MAINLY, _FEWEST = 0.4, 5
WIDE_GAP = 10.0
"""An interval of the gap that is wider, in points, is said at once, and more labels come first."""

# So large a share of the labels is said at once, and so small a one of the gap is said to be small.
_MANY = 0.2
_NAMED = 3  # sessions


@dataclass(frozen=True)
class Overfitting(Record):
    """Accuracy on the training images and in the lab; `points` is the difference."""

    train: Tally
    lab: Tally
    points: float

    @classmethod
    def of(cls, card: Card) -> Overfitting | None:
        """As the card says; None where it has no accuracy of the training images.

        None too of a network that was adapted: the training images were read before that.
        """
        found = card.training.get("train")
        if card.parent is not None or not isinstance(found, dict) or not found.get("total"):
            return None
        train = Tally.from_json(found)
        points = gap_points(train, card.lab.tally)
        return None if points is None else cls(train, card.lab.tally, points)

    def to_text(self) -> str:
        """One line for the terminal and the page."""
        return (
            f"training images {self.train.percent}, lab {self.lab.percent}: {self.points:.1f} "
            "points of overfitting, not part of the gap"
        )


def verdict(
    lab: Tally,
    live: Live,
    estimate: Estimate,
    checks: FieldChecks,
    gap: tuple[float, float] | None,
    num_sessions: int = 1,
    weak: WeakSessions | None = None,
) -> str:
    """What is wrong, in one sentence; what is not known is said to be so.

    Args:
        lab: Accuracy of the Keras model in the lab.
        gap: 95 % interval of the gap in points; None without field labels.
        weak: The sessions that make most of the gap.
    """
    if checks.faults:
        found = _of_fault(checks, live.tally, num_sessions, gap_points(lab, live.tally))
        more = [*_other_faults(checks), *([weak.to_text()] if weak else [])]
        return f"{found} Besides, {'; '.join(more)}." if more else found
    points = gap_points(lab, live.tally)
    if points is None or gap is None:
        known = "" if estimate.flag == UNKNOWN else f" The answers alone suggest {_band(estimate)}."
        whose = "The session has" if num_sessions == 1 else "The sessions have"
        why = live.unknown_since or f"{whose} no field labels"
        why = why[0].upper() + why[1:]
        path = _path(checks).removeprefix("; ")
        path = f" {path[0].upper()}{path[1:]}." if path else ""
        return f"{why}: live accuracy and the gap are unknown.{path}{known}"
    size = f"{abs(points):.1f} points"
    if gap[1] - gap[0] > WIDE_GAP:  # a few labels say that there is a gap, but not how wide it is
        low, high = sorted(map(abs, gap))
        size += f" ({low:.1f} to {high:.1f})"
    if gap[0] > 0:
        cause = _cause(live, checks, points, weak)
        return f"Live accuracy is {size} below lab accuracy{cause}.{_of_no_class(live)}"
    if gap[1] < 0:
        return f"Live accuracy is {size} above lab accuracy.{_of_no_class(live)}"
    chance = f"the difference of {shown_points(points)} points may be chance"
    if alike_gap(lab, live.tally) > 0:
        counts = [
            f"{tally.total} {what} count like {tally.worth:.0f}"
            for tally, what in ((live.tally, "frames"), (lab, "lab images"))
            if is_handful(tally)
        ]
        chance += (
            f" if pictures that look alike show one thing ({', '.join(counts)}); it is no chance "
            "if each shows another: audit with `--things each` then"
        )
    return f"No gap is proved: {chance}.{_of_no_class(live)}"


def alike_gap(lab: Tally, live: Tally) -> float:
    """The low end of the gap in points, as if each image and frame showed another thing: where
    the images or the frames look so alike that they count as a handful. -100 elsewhere.

    So do the parts under an inspection camera, and no audit can tell them from one part that
    stays in view.
    """
    if not (is_handful(lab) or is_handful(live)):
        return -100.0
    return difference(replace(lab, effective=None), replace(live, effective=None))[1]


def is_handful(tally: Tally) -> bool:
    """Whether many look alike; few of them that all differ are none."""
    return tally.repeats and tally.worth < FEWEST_GROUPS


def is_disputed(live: Live, gap: float) -> bool:
    """Whether people differ on labels that may make much of the gap: one of two is wrong."""
    counts = live.label_counts
    return counts.differing > 0 and 100 * counts.differing >= _MAINLY * gap * counts.labelled


def shown_points(points: float) -> str:
    """Points with one digit; 0.0 has no sign."""
    return f"{round(points, 1) + 0.0:.1f}"


def _of_fault(checks: FieldChecks, live: Tally, num_sessions: int, gap: float | None) -> str:
    """The first fault, in which sessions it is, and what it costs over all of them: of the gap,
    where it makes less than half of that.
    """
    fault, where, cost, culprit = checks.faults[0], "", "", ", not the model"
    step, having = checks.step_of(fault), checks.sessions_with(fault)
    points = fault.points if num_sessions == 1 else None
    points = points if step is None else step.points
    if points is not None:
        lost = f"{points:.1f} points" if points >= 0.05 else "nothing on these frames"
        cost = f", which costs {lost}"
        if gap is not None and 2 * points < gap:
            cost += f"; the gap is {gap:.1f} points"
            culprit = ""
    if len(having) < num_sessions:
        where = f" ({len(having)} of {num_sessions} sessions: {_names(having)})"
    if fault.kind == "path":
        return f"The device does not do what the lab did{where}: {fault.name}{cost}."
    if fault.kind == "truth":
        return f"The labels are wrong{culprit}{where}: {fault.name}{cost}."
    return f"The session can't be trusted{where}: {fault.name} (live {live.percent})."


def _other_faults(checks: FieldChecks) -> list[str]:
    """What is wrong in sessions that the first fault is not in."""
    seen, found = set(checks.sessions_with(checks.faults[0])), []
    for fault in checks.faults:
        if fault.session not in seen:
            having = checks.sessions_with(fault)
            seen.update(having)
            found.append(f"in {_names(having)} {fault.name}")
    return found[:_NAMED]


def _names(sessions: Sequence[str]) -> str:
    names = [short_name(Path(session)) for session in sessions]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _cause(live: Live, checks: FieldChecks, gap: float, weak: WeakSessions | None) -> str:
    """What is known of the cause where nothing is broken."""
    proved = _path(checks)
    if weak is not None:
        return f"{proved}; {weak.to_text()}"
    counts = live.label_counts
    if is_disputed(live, gap):
        which = f"{counts.differing} of {counts.labelled} frames"
        return f"{proved}; {' and '.join(counts.people)} labelled {which} differently"
    advised = checks.undone.prescription
    if advised is not None:
        points = advised.returned.points
        only = "only " if points < _MANY * gap else ""
        return (
            f"{proved}; {only}{points:.1f} points come back if each frame is changed: "
            f"{advised.change.name}"
        )
    wrong = sum(map(sum, live.confusion)) - sum(row[k] for k, row in enumerate(live.confusion))
    if wrong >= _FEWEST and live.confusions[0].frames >= _MAINLY * wrong:
        worst = live.confusions[0]
        return (
            f"{proved}; {worst.frames} of {wrong} errors are {worst.truth!r} read as "
            f"{worst.predicted!r}"
        )
    return proved


def _of_no_class(live: Live) -> str:
    """Where many frames show nothing that the model can name: no accuracy counts these."""
    counts = live.label_counts
    if counts.no_class < max(_FEWEST, _MANY * counts.labelled):
        return ""
    which = f"{counts.no_class} of {number(counts.labelled, 'labelled frame')}"
    return f" Live accuracy leaves out {which} that show none of the model's classes."


def _path(checks: FieldChecks) -> str:
    """What the kept frames say of the device's path where no fault is found."""
    kept = checks.kept
    if kept.lost_in_lab:
        return "; over the lab images the device does not do what the lab did"
    if not kept.frames:
        return ""
    agree = f"({kept.agreed} of {kept.frames} frames agree)"
    if kept.is_same:
        return f"; the device works as the lab did {agree}"
    return f"; the device's scores are not the lab's {agree}, for a reason that is not known here"


def _band(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.0f} to {100 * estimate.high:.0f} %"
