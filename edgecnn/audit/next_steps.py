"""What to do next, best first: at most three commands, each with what it may return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import gap_points
from edgecnn.audit.beside import too_few_to_adapt
from edgecnn.audit.fault import Fault
from edgecnn.audit.faults import FieldChecks
from edgecnn.audit.ledger.ledger import Lab
from edgecnn.audit.ledger.other_framing import FRAMING
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.live import Live
from edgecnn.audit.options import AuditOptions
from edgecnn.audit.recordings.more_labels import labels_to_halve, what_labels_tell
from edgecnn.audit.undo.fragile import Fragility
from edgecnn.audit.undo.run_again import by_options, changed_views, record_more, run_again
from edgecnn.audit.undo.undo import Prescription
from edgecnn.audit.verdict import WIDE_GAP, alike_gap, is_disputed
from edgecnn.audit.where.weak_sessions import WeakSessions, differing_views
from edgecnn.bundle.card import LiveBefore
from edgecnn.records import Record
from edgecnn.render.next_lines import typed_line
from edgecnn.session.answers import NO_TRUTH
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import is_session
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.session.reading.devices import device_folders, folders_of, of_each_device
from edgecnn.words import number

__all__ = ["MODEL", "GapFigures", "NextStep", "next_steps"]

MODEL = Path("MODEL")
"""Stands for the folder that `train` wrote: an audit does not know where it lies."""

_MOST = 3
_FEW_LABELS = 100

_SOURCES = ("folder", "csv", "schedule", "sensor", "marker")

_ADAPT = (
    "the loss is the field's own: objects, framing and light. This adapts the network to it and "
    "keeps only the steps that the evidence supports; what it learned from can't measure it any "
    "more"
)
_TRAIN = (
    "the loss is the field's own: objects, framing and light; `adapt` can't change this network, "
    "whose last layer is not known, so this trains one for cameras that nobody has seen"
)


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


@dataclass(frozen=True)
class GapFigures:
    """The figures that decide what is worth doing; residual is None without field labels, weak
    where no session makes most of the gap, network what `adapt` takes, None where it can't.
    """

    lab: Lab
    live: Live
    residual: Step | None
    weak: WeakSessions | None
    network: Path | None

    def is_left(self, doubtful: float) -> bool:
        """Whether steps, less their `doubtful` points, leave more of it than the labels do: by
        things, or by frames where these look so alike that they count as few things.
        """
        if self.residual is None:
            return False
        reached, live = self.lab.reached, self.live.tally
        left, low, _ = difference(reached, live)
        surely = max(low, alike_gap(reached, live))
        return self.residual.points + doubtful > left - surely

    @property
    def gap_width(self) -> float:
        """Of the 95 % interval of the gap, in points."""
        _, low, high = difference(self.lab.quantized, self.live.tally)
        return high - low


def next_steps(
    parts: Sequence[tuple[Session, Frames, Truth]],
    bundle: str,
    checks: FieldChecks,
    found_out: GapFigures,
    options: AuditOptions,
) -> tuple[NextStep, ...]:
    """The commands, best first.

    Args:
        bundle: The bundle's path, as a person types it.
    """
    label_file, residual, live = options.truth, found_out.residual, found_out.live
    sessions = [session for session, _, _ in parts]
    # Of several sessions with the same fault, once.
    faults = {(fault.kind, fault.name): fault for fault in reversed(checks.faults)}
    found = [
        _of_fault(fault, bundle, sessions, checks, label_file)
        for fault in reversed(faults.values())
    ]
    found += _of_other_sessions(checks, bundle, found_out.weak, options.lab)
    if not checks.faults:
        found += _of_people(parts, found_out)
        found += _of_region(found_out.weak, bundle, sessions)
    advised = checks.undone.prescription
    if advised is not None:
        found.append(_of_setting(advised, bundle, sessions))
    if not checks.faults:
        # "None of these" and "can't tell" are labels too: nothing is left to ask there.
        kept = [truth.label[row] != NO_TRUTH for _, frames, truth in parts for row in frames.images]
        label = typed_line("label", *folders_of(sessions))
        record = record_more(sessions[0].header, bundle)
        if kept and all(kept):
            label = record
        closing = []
        doubtful = 0.0 if advised is None else advised.returned.doubtful
        learned = 0.0
        if advised is not None and not _is_option(advised, sessions[0].header):
            learned = advised.returned.high
        if residual is not None and (learned > 0 or found_out.is_left(doubtful)):
            # The interval of the residual holds what the steps may fail to return.
            most = min(
                LiveBefore(live.tally, found_out.lab.quantized).most_points, residual.high + learned
            )
            if found_out.network is None:
                first = NextStep("edgecnn train LAB -o MODEL", _TRAIN)
            else:
                adapt, few = _adapting(parts, found_out.network, label_file)
                first = NextStep(record, few) if few else NextStep(adapt, _ADAPT, 0.0, most)
            closing = [first, *_collect(bundle, live)]
        more = _more_labels(label, record, kept.count(False), found_out)
        found += _of_the_gap(label, more, closing, found_out, checks.undone.fragility)
    once = {step.command: step for step in reversed(found)}  # the first reason for a command
    return tuple(step for step in found if once[step.command] is step)[:_MOST]


def _adapting(
    parts: Sequence[tuple[Session, Frames, Truth]], network: Path, label_file: Path | None
) -> tuple[str, str]:
    """The command that adapts to each device by itself, or to the first one where a device has no
    folder of its own: joined, they do each other harm; and why it would refuse their pictures.
    """
    sessions = [session for session, _, _ in parts]
    where: tuple[str, ...] = ("--per", "device", "-o", "MODELS")
    places = device_folders(sessions)
    is_each = bool(places)
    if not is_each:
        mine = next(iter(of_each_device(sessions).values()))
        new = "MODEL2" if network == MODEL else "NAME.edgecnn"
        where, places = ("-o", new), folders_of(mine)
        parts = [part for part in parts if part[0] in mine]
    given = [word for place in places for word in ("--field", place)]
    if any(truth.label[row] >= 0 for _, frames, truth in parts for row in frames.images):
        labelled = min(places, folders_of([session for session, _, _ in parts]), key=len)
        given += [word for place in labelled for word in ("--labels", place)]
    command = typed_line("adapt", network, *given, *where)
    if label_file is not None:  # `adapt` finds labels in sessions, and these are in none
        merge = typed_line("label", sessions[0].path, "--merge", label_file)
        command = f"{merge} && {command}"
    return command, too_few_to_adapt(parts, each=is_each)


def _of_other_sessions(
    checks: FieldChecks, bundle: str, weak: WeakSessions | None, labs: Sequence[Path]
) -> list[NextStep]:
    """What another audit says: of the sessions that make most of the gap, and of one over the lab
    images, whose kept frames show what the device did to them.
    """
    found = []
    if weak is not None and weak.sessions:
        part = weak.part
        found = [
            NextStep(
                typed_line("audit", *folders_of(weak.sessions), "--bundle", Path(bundle)),
                f"{weak.to_text()} ({part.low:.1f} to {part.high:.1f}): see what is wrong there "
                "before all others are changed",
            )
        ]
    recorded = [lab for lab in labs if is_session(lab)]
    if checks.kept.lost_in_lab and recorded and not checks.faults:
        found.append(
            NextStep(
                typed_line("audit", *recorded, "--bundle", Path(bundle)),
                "over the lab images the device loses points that no field frame explains: see "
                "what it did to them, and how that session's options and program differ",
            )
        )
    return found


def _of_people(
    parts: Sequence[tuple[Session, Frames, Truth]], found_out: GapFigures
) -> list[NextStep]:
    """Labels on which people differ are to be decided before anything learns from them."""
    live = found_out.live
    gap = gap_points(found_out.lab.float_tally, live.tally)
    having = [s for s, frames, truth in parts if truth.differing and frames.images]
    people = [name for name in live.label_counts.people if name not in _SOURCES]
    if gap is None or gap <= 0 or not having or len(people) < 2 or not is_disputed(live, gap):
        return []
    # With a source among them it is not known which two of them differ.
    who = " and ".join(live.label_counts.people)
    frames = number(live.label_counts.differing, "frame")
    why = f"{who} labelled {frames} differently: its page asks about these first, so let one decide"
    return [NextStep(typed_line("label", *folders_of(having)), why)]


def _of_region(
    weak: WeakSessions | None, bundle: str, sessions: Sequence[Session]
) -> list[NextStep]:
    """Of a region that makes most of the gap: what is tried on all regions together finds no
    setting for one of them.
    """
    if weak is None or weak.sessions:
        return []
    part = weak.part
    for header in (session.header for session in sessions):
        views = [view for view in header.regions if view.name == part.value]
        if views and len(header.regions) > 1:
            why = (
                f"{weak.to_text()} ({part.low:.1f} to {part.high:.1f}), and one setting of framing "
                "and light was sought for all regions: record this one alone, and an audit of "
                "that seeks its own"
            )
            return [NextStep(run_again(header, bundle, "alone", views), why)]
    return []


def _of_setting(advised: Prescription, bundle: str, sessions: Sequence[Session]) -> NextStep:
    """The one setting that returned most on objects that did not choose it."""
    change, shape = advised.change, advised.shape
    header = sessions[0].header
    if unlike := differing_views(sessions):
        return NextStep(
            typed_line("audit", sessions[0].path, "--bundle", Path(bundle)),
            f"the errors of all sessions fall if each frame is changed: {change.name}; but they "
            f"were recorded with unlike {' and '.join(unlike)}, so that no one setting is right "
            "for all: audit them one by one",
        )
    views = changed_views(header, change, shape, is_one_shape=advised.is_one_shape)
    if change.swaps_colour:
        header = replace(header, source_color="bgr" if header.source_color == "rgb" else "rgb")
    if views is not None or change.swaps_colour:
        how = by_options(sessions[0].header, header, views)
    elif advised.cause == FRAMING:
        region = "--roi" if header.regions else "the region that your program cuts out"
        how = f"move or turn the camera, or change {region}"
    else:
        how = change.remedy
    if header.ran_over_files and views is None and not change.swaps_colour:
        # The same files would show the same again.
        header, how = replace(header, source="NEW_RECORDING"), f"record anew: {how}"
    return NextStep(
        run_again(header, bundle, "changed", views),
        f"the errors fall if each frame is changed: {change.name} ({how}); measured on "
        "things that had no part in the choice",
        max(0.0, advised.returned.low),
        advised.returned.high,
    )


def _is_option(advised: Prescription, header: SessionHeader) -> bool:
    """Whether an option of `run` makes the setting; else a hand does, or a network learns it."""
    one_shape, change = advised.is_one_shape, advised.change
    views = changed_views(header, change, advised.shape, is_one_shape=one_shape)
    return views is not None or change.swaps_colour


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
    if fault.kind == "truth":
        command, how = _put_right(faulty[0], again, label_file)
        why = f"{how} ({fault.name}); until then live accuracy says nothing of the model"
        return NextStep(command, why, *_ends(step))
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


def _put_right(session: Session, again: str, label_file: Path | None) -> tuple[str, str]:
    """How labels are put right where they came from; a page asks about kept pictures alone."""
    if label_file is not None:
        command = typed_line("audit", session.path, "--truth", label_file)
        return command, f"first put the labels of {label_file} right"
    if "folder" in session.header.truth:
        return again, "first move the images to the folders of what they show"
    file = "FILE.csv" if len(session.header.regions) < 2 else "REGION=FILE.csv"
    return typed_line("label", session.path, "--merge", file), "first write the right labels to it"


def _ends(step: Step | None) -> tuple[float | None, float | None]:
    return (None, None) if step is None else (step.low, step.high)


def _of_the_gap(
    label: str,
    more: list[NextStep],
    closing: list[NextStep],
    found_out: GapFigures,
    fragility: Fragility | None,
) -> list[NextStep]:
    """Without a fault: more labels where they decide, and what closes a gap of the field.

    Adaptation comes first: it takes seconds and no label, and keeps nothing that its evidence
    speaks against. Only where next to nothing is known of the gap labels come before it: those
    that are learned from can't measure any more. Errors that no nudge cures then need images of
    what the lab never showed.

    Args:
        label: The command that brings labels; more: what more of them tell, if that is much.
        closing: Adaptation, then other images; empty where there is no gap to close.
    """
    live = found_out.live
    if found_out.residual is None:
        why = live.unknown_since or "no field labels"
        return [NextStep(label, f"{why}: 100 random labels tell live accuracy within 10 points")]
    if more and closing and closing[0].command == more[0].command:
        return [*more, *closing[1:]]
    few = live.tally.total < _FEW_LABELS and found_out.gap_width > 2 * WIDE_GAP
    if more and few:
        return [*more, *closing]
    if fragility is not None and 2 * fragility.solid >= fragility.misread:
        return [*closing, *more]
    return [*closing[:1], *more, *closing[1:]]


def _more_labels(label: str, record: str, waiting: int, found_out: GapFigures) -> list[NextStep]:
    """More labels, where they narrow the gap's interval: of the pictures that wait for one, or of
    others where these are too few.
    """
    live = found_out.live.tally
    if found_out.gap_width <= WIDE_GAP and live.total >= _FEW_LABELS:
        return []
    wanted, lab = labels_to_halve(live), found_out.lab.quantized
    for command, count in ((label, min(wanted, waiting)), (record, wanted)):
        if told := what_labels_tell(live, lab, count):
            return [NextStep(command, told)]
    return []


def _collect(bundle: str, live: Live) -> list[NextStep]:
    """Images of the largest confusion, where there is one; one object alone makes none."""
    if not live.confusions or live.confusions[0].objects < 2:
        return []
    worst = live.confusions[0]
    harvest = f"`{typed_line('harvest', 'SESSION', '--bundle', Path(bundle), '-o', 'picked')}`"
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
