"""What to do next, best first: at most three commands, each with what it may return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.quantiles import Z_95
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.fault import Fault
from edgecnn.audit.faults import FieldChecks
from edgecnn.audit.ledger.other_framing import FRAMING
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.live import Live
from edgecnn.audit.undo.fragile import Fragility
from edgecnn.audit.undo.run_again import changed_views, run_again
from edgecnn.audit.undo.undo import Prescription
from edgecnn.bundle.card import LiveBefore
from edgecnn.records import Record
from edgecnn.session.header import SessionHeader
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.words import number

__all__ = ["NextStep", "next_steps"]

_MOST = 3
# A gap whose interval is wider than this, in points, is worth more labels first.
_WIDE, _FEW_LABELS, _MOST_ASKED, _ENDLESS = 10.0, 100, 400, 1_000_000


@dataclass(frozen=True)
class NextStep(Record):
    """A command, why, and the points that it may return; None where nothing says how many."""

    command: str
    why: str
    points_low: float | None = None
    points_high: float | None = None

    @property
    def points_text(self) -> str:
        """The points in words, such as "returns 60.1 to 71.3 points"; empty where unknown."""
        if self.points_low is None or self.points_high is None or self.points_high <= 0:
            return ""
        if self.points_low <= 0:
            return f"returns at most {self.points_high:.1f} points"
        return f"returns {self.points_low:.1f} to {self.points_high:.1f} points"


def next_steps(
    parts: Sequence[tuple[Session, Frames, Truth]],
    bundle: str,
    checks: FieldChecks,
    residual: Step | None,
    lab: Tally,
    live: Live,
    label_file: Path | None = None,
) -> tuple[NextStep, ...]:
    """The commands, best first.

    Args:
        bundle: The bundle's path, as a person types it.
        lab: Lab accuracy of the file that ran.
        label_file: One with labels beside those of the one session.
    """
    sessions = [session for session, _, _ in parts]
    # Of several sessions with the same fault, once.
    faults = {(fault.kind, fault.name): fault for fault in reversed(checks.faults)}
    found = [
        _of_fault(fault, bundle, sessions, checks, label_file)
        for fault in reversed(faults.values())
    ]
    advised = checks.undone.prescription
    if advised is not None:
        found.append(_of_setting(advised, bundle, sessions[0]))
    if not checks.faults:
        kept = [truth.label[row] >= 0 for _, frames, truth in parts for row in frames.images]
        label = _line("label", *(session.path for session in sessions))
        if kept and all(kept):
            label = _record_more(sessions[0].header, bundle)
        options = ("--field", "--labels") if any(kept) else ("--field",)
        given = [word for o in options for s in sessions for word in (o, s.path)]
        adapt = _line("adapt", "MODEL", *given, "-o", "MODEL2")
        if label_file is not None:  # `adapt` finds labels in sessions, and these are in none
            merge = _line("label", sessions[0].path, "--merge", label_file)
            adapt = f"{merge} && {adapt}"
        closing = []
        if residual is not None and residual.low > 0:
            most = min(LiveBefore(live.tally, lab).most_points, residual.high)
            closing = [_adapt(adapt, most), *_collect(bundle, live)]
        found += _of_the_gap(label, closing, residual, live, lab, checks.undone.fragility)
    return tuple(found[:_MOST])


def _of_setting(advised: Prescription, bundle: str, session: Session) -> NextStep:
    """The one setting that returned most on objects that did not choose it."""
    change, shape = advised.change, advised.shape
    header = session.header
    views = changed_views(header, change, shape, is_one_shape=advised.is_one_shape)
    if change.swaps_colour:
        header = replace(header, source_color="bgr" if header.source_color == "rgb" else "rgb")
    if views is not None or change.swaps_colour:
        how = "these options do it"
    elif advised.cause == FRAMING:
        how = "move or turn the camera, or the region that your program cuts out"
    else:
        how = "lock the exposure or change the lamp until the picture looks so"
    return NextStep(
        run_again(header, bundle, "changed", views),
        f"the errors fall if each frame is changed: {change.name} ({how}); measured on "
        "objects that had no part in the choice",
        max(0.0, advised.returned.low),
        advised.returned.high,
    )


def _line(*words: str | Path) -> str:
    """A command as it is typed; a path that begins with a hyphen would be read as an option."""
    typed = (
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
        for word in words
    )
    return join(["edgecnn", *typed])


def _of_fault(
    fault: Fault,
    bundle: str,
    sessions: Sequence[Session],
    checks: FieldChecks,
    label_file: Path | None,
) -> NextStep:
    having = checks.sessions_with(fault)
    faulty = [session for session in sessions if str(session.path) in having]
    again, step = run_again(faulty[0].header, bundle, "again"), checks.step_of(fault)
    if fault.kind == "truth" and label_file is not None:
        return NextStep(
            _line("audit", faulty[0].path, "--truth", label_file),
            f"first put the labels of {label_file} right ({fault.name}); until then live accuracy "
            "says nothing of the model",
            *_ends(step),
        )
    if fault.kind == "truth":
        return NextStep(
            _line("label", *(session.path for session in faulty)),
            f"put the labels right ({fault.name}), then check 20 frames on this page; until then "
            "live accuracy says nothing of the model",
            *_ends(step),
        )
    if fault.kind == "session":
        return NextStep(
            again,
            f"repair the program that wrote the session ({fault.name}: {fault.evidence}), or let "
            "edgecnn record it",
        )
    return NextStep(
        again,
        f"repair the device's program ({fault.name}): {Path(bundle).name}/classify.py shows how a "
        "frame becomes the input; this records the same source by the right path, to compare",
        *_ends(step),
    )


def _record_more(header: SessionHeader, bundle: str) -> str:
    """A camera shows other things next time; a file or folder the same ones."""
    if header.ran_over_files:
        header = replace(header, source="OTHER_IMAGES")
    return run_again(header, bundle, "more")


def _ends(step: Step | None) -> tuple[float | None, float | None]:
    return (None, None) if step is None else (step.low, step.high)


def _of_the_gap(
    label: str,
    closing: list[NextStep],
    residual: Step | None,
    live: Live,
    lab: Tally,
    fragility: Fragility | None,
) -> list[NextStep]:
    """Without a fault: more labels where they decide, and what closes a gap of the field.

    Adaptation comes first: it takes seconds and no label, and keeps nothing that its evidence
    speaks against. Errors that no nudge cures then need images of what the lab never showed.

    Args:
        label: The command that brings more labels.
        closing: Adaptation, then other images; empty where there is no gap to close.
    """
    if residual is None:
        return [
            NextStep(label, "no field labels: 100 random ones tell live accuracy within 10 points")
        ]
    more = []
    if residual.high - residual.low > _WIDE or live.tally.total < _FEW_LABELS:
        more = [NextStep(label, _what_labels_tell(live.tally, lab))]
    if fragility is not None and 2 * fragility.solid >= fragility.misread:
        return [*closing, *more]
    return [*closing[:1], *more, *closing[1:]]


def _adapt(command: str, most_points: float) -> NextStep:
    return NextStep(
        command,
        "the loss is the field's own: objects, framing and light. This adapts the network to it "
        "and keeps only the steps that the evidence supports; what it learned from can't measure "
        "it any more",
        0.0,
        most_points,
    )


def _collect(bundle: str, live: Live) -> list[NextStep]:
    """Images of the largest confusion, where there is one."""
    if not live.confusions:
        return []
    worst = live.confusions[0]
    harvest = f"`{_line('harvest', 'SESSION', '--bundle', Path(bundle), '-o', 'picked')}`"
    return [
        NextStep(
            "edgecnn train LAB --also picked -o MODEL3",  # MODEL2 is what adapting wrote
            f"first record this camera again, let {harvest} pick pictures of that and sort them: "
            f"{worst.truth!r} is read as {worst.predicted!r} on "
            f"{number(worst.frames, 'frame')}",
            0.0,
            worst.points,
        )
    ]


def _what_labels_tell(live: Tally, lab: Tally) -> str:
    """How wide the gap's interval is, how wide with more labels, and what the lab keeps wide."""
    count, worth = _labels_to_halve(live), live.worth

    def width(labels: float) -> float:
        right = round((live.accuracy or 0.0) * labels)
        _, low, high = difference(lab, Tally(right, round(labels)))
        return high - low

    now, then, least = (width(labels) for labels in (worth, worth + count, _ENDLESS))
    said = (
        f"{count} more labels of other objects narrow the interval of the gap from {now:.0f} to "
        f"about {then:.0f} points"
    )
    if least > then / 2:
        said += (
            f"; no labels make it less than {least:.0f}, for the lab test has {lab.total} images"
        )
    return said


def _labels_to_halve(tally: Tally) -> int:
    """Labels of independent frames that halve the interval: three times those that count now."""
    low, high = tally.interval
    half = max(0.01, (high - low) / 4)
    accuracy = min(0.95, max(0.05, tally.accuracy or 0.5))
    wanted = Z_95**2 * accuracy * (1 - accuracy) / half**2
    more = max(20.0, min(wanted - tally.worth, _MOST_ASKED))
    return round(more / 10) * 10
