"""What is wrong besides the model: the device's path, the labels, the session itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgecnn.audit.fault import Fault
from edgecnn.audit.ledger.device_path import DEVICE_PATH, live_weight, step_of_kept
from edgecnn.audit.ledger.ledger import UNDONE, UNEXPLAINED, Lab
from edgecnn.audit.ledger.reanswer import UNKNOWN_PATH, Reanswered, reanswer
from edgecnn.audit.ledger.step import Step, lost_points
from edgecnn.audit.ledger.truth_faults import TruthFault, check_truth
from edgecnn.audit.undo.changed_picture import picture_at_fault
from edgecnn.audit.undo.undo import NOTHING_UNDONE, Undone
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import ArtifactError, MissingRuntimeError
from edgecnn.records import Progress, Record, computed, json_as
from edgecnn.session.answers import NO_TRUTH, RANDOM
from edgecnn.session.layout import short_name
from edgecnn.session.read import Frames, Session, Truth

__all__ = [
    "LABELS",
    "FieldChecks",
    "KeptFrames",
    "check_labels",
    "reanswer_all",
    "settle_path",
]

_Part = tuple[Session, Frames, Truth]

LABELS = "labels (as they are -> put right)"


@dataclass(frozen=True)
class KeptFrames(Record):
    """How many kept frames were answered again here, and on how many the device agrees.

    `is_same`: their scores are the device's too, in each session.
    `lost_in_lab`: over the lab images the device surely loses points.
    """

    frames: int
    agreed: int
    paths_tried: int
    is_same: bool = field(default=True, metadata=json_as(hidden=True))
    lost_in_lab: bool = field(default=False, metadata=json_as(hidden=True))

    @property
    @computed
    def agreement(self) -> float | None:
        """A fraction in [0, 1]; None of no frame."""
        return self.agreed / self.frames if self.frames else None


@dataclass(frozen=True)
class FieldChecks:
    """What the field frames say besides accuracy: steps of the ledger, and faults.

    undone   what other framing and light return, the faults put right
    notes    what looked like a fault and is none
    """

    kept: KeptFrames
    steps: tuple[Step, ...] = ()
    faults: tuple[Fault, ...] = ()
    undone: Undone = NOTHING_UNDONE
    notes: tuple[str, ...] = ()

    @property
    def rest(self) -> str:
        """What the part of the gap that no step explains is called."""
        return UNDONE if self.undone.steps else UNEXPLAINED

    def step_of(self, fault: Fault) -> Step | None:
        """The step of the ledger that prices a fault over all sessions.

        None where nothing prices it, or where sessions have other faults that it prices too.
        """
        cause = {"path": DEVICE_PATH, "truth": LABELS}.get(fault.kind)
        alike = {one.name for one in self.faults if one.kind == fault.kind}
        if fault.points is None or len(alike) > 1:
            return None
        return next((step for step in self.steps if step.cause == cause), None)

    def sessions_with(self, fault: Fault) -> tuple[str, ...]:
        """The folders of the sessions that have this fault."""
        same = (
            one.session for one in self.faults if (one.kind, one.name) == (fault.kind, fault.name)
        )
        return tuple(dict.fromkeys(same))

    def with_faults(self, more: Sequence[Fault]) -> FieldChecks:
        """The same with faults that come before all others."""
        return replace(self, faults=(*more, *self.faults))

    def with_undone(self, undone: Undone) -> FieldChecks:
        """The same with the steps of framing and light after all others."""
        return replace(self, undone=undone, steps=(*self.steps, *undone.steps))


def reanswer_all(
    parts: Sequence[tuple[Session, Frames]], bundle: Bundle | None, progress: Progress | None
) -> tuple[list[Reanswered | None], list[str]]:
    """Answer the kept frames of each session again; and why that was not possible."""
    if bundle is None:
        return [None] * len(parts), ["kept frames not re-answered: that needs the bundle"]
    found: list[Reanswered | None] = []
    notes = []
    for session, frames in parts:
        name = short_name(session.path)
        try:
            one = reanswer(session, frames, bundle, progress)
        except (MissingRuntimeError, ArtifactError) as error:
            found.append(None)
            notes.append(f"{name}: kept frames not re-answered: {error}")
            continue
        if one is not None and one.fault is None and not one.is_same:
            notes.append(
                f"{name}: the device's scores of its kept frames are others than here "
                f"({one.score_error:.3f} apart in the mean of 0 to 1), and none of the paths that "
                f"were tried gives them: compare its program with classify.py of the bundle"
            )
        if one is None:
            notes.append(
                f"{name}: the device's path is not checked: too few kept pictures "
                "with their scores (`run --log` keeps up to 200)"
            )
        elif one.unreadable:
            notes.append(f"{name}: {one.unreadable} kept pictures can't be decoded")
        found.append(one)
    return found, notes


def check_labels(
    found: Sequence[Reanswered | None],
    parts: Sequence[_Part],
    bundle: Bundle | None,
    expected: float,
    progress: Progress | None = None,
) -> tuple[FieldChecks, list[_Part]]:
    """Price the device's path by the field labels, and check the labels themselves.

    Labels are checked where the path is not at fault: else the answers are wrong for another
    reason. They are not accused where a changed picture explains as much. Also gives the sessions
    with their labels put right, without those whose pictures or labels can't be.

    Args:
        found: Of each session, by `reanswer_all`.
        expected: Accuracy of the artifact in the lab, a fraction.
    """
    path = step_of_kept(found, parts)
    faults = [one for pair in zip(found, parts, strict=True) if (one := _of_path(*pair))]
    wrong = {one.session for one in faults}
    truths, notes = [], []
    for part in map(_with_a_sample, parts):
        fault = None if str(part[0].path) in wrong else check_truth(*part, expected)
        other = fault and bundle and picture_at_fault(part, fault, bundle, expected, progress)
        if other:
            notes.append(f"{short_name(part[0].path)}: {other}")
        elif fault is not None:
            truths.append((part, fault))
    faults += [
        Fault("truth", f.name, f.points, f.evidence, str(session.path))
        for (session, _, _), f in truths
    ]
    labels = _labels_step(truths, parts)
    known = [one for one in found if one is not None]
    kept = KeptFrames(
        sum(len(one.rows) for one in known),
        sum(one.agreed for one in known),
        max((one.num_tried for one in known), default=0),
        all(one.is_same for one in known),
    )
    steps = tuple(step for step in (path, labels) if step)
    checks = FieldChecks(kept, steps, tuple(faults), notes=tuple(notes))
    return checks, _put_right(found, parts, truths)


def _of_path(one: Reanswered | None, part: _Part) -> Fault | None:
    """What is wrong with a device's path: a fault that its scores tell, or one that no path which
    was tried explains, but that surely costs points.
    """
    step = None if one is None else step_of_kept([one], [part])
    if one is None or one.is_same or not (one.fault or (step and step.low > 0)):
        return None
    name, points = one.fault or UNKNOWN_PATH, None if step is None else step.points
    return Fault("path", name, points, one.evidence, str(one.session.path), one.example)


def _with_a_sample(part: _Part) -> _Part:
    """A session without the labels of frames that a person or an uncertain answer picked.

    People pick what is misread: nearly all of these labels are no answer's, and fit other answers
    by chance as well.
    """
    session, frames, truth = part
    is_picked = (truth.label >= 0) & (truth.why < RANDOM)
    if not is_picked.any():
        return part
    return session, frames, replace(truth, label=np.where(is_picked, NO_TRUTH, truth.label))


def _put_right(
    found: Sequence[Reanswered | None],
    parts: Sequence[_Part],
    truths: Sequence[tuple[_Part, TruthFault]],
) -> list[_Part]:
    """The sessions that still tell something of framing and light, with their labels put right."""
    label = {id(part[0]): fault.label for part, fault in truths}
    sound = []
    for one, part in zip(found, parts, strict=True):
        session, frames, truth = part
        is_lost = one is not None and one.fault and not one.match.names
        other = label.get(id(session), truth.label)
        if not is_lost and other is not None:
            sound.append((session, frames, replace(truth, label=other)))
    return sound


def settle_path(lab: Lab, checks: FieldChecks) -> tuple[Lab, FieldChecks]:
    """Leave one step of the device's path: that of a session over lab images counts many labels,
    but a fault on field frames is what the audited device did.
    """
    on_lab = [step for step in lab.steps if step.cause == DEVICE_PATH]
    on_field = [step for step in checks.steps if step.cause == DEVICE_PATH]
    if on_lab and on_lab[0].low > 0:
        checks = replace(checks, kept=replace(checks.kept, lost_in_lab=True))
    if not on_lab or not on_field:
        return lab, checks
    if any(fault.kind == "path" for fault in checks.faults):
        rest = tuple(step for step in lab.steps if step not in on_lab)
        return replace(lab, steps=rest, reached=lab.quantized), checks
    rest = tuple(step for step in checks.steps if step not in on_field)
    return lab, replace(checks, steps=rest)


def _labels_step(
    truths: Sequence[tuple[_Part, TruthFault]],
    parts: Sequence[_Part],
) -> Step | None:
    """What the faults of the labels cost, over all labelled frames."""
    fixed = [(part, fault) for part, fault in truths if fault.label is not None]
    if not fixed:
        return None
    sizes = {id(session): live_weight(frames, truth) for session, frames, truth in parts}
    pairs, shares = [], []
    for (session, frames, truth), fault in fixed:
        # Labels that picked a frame are in neither: see `_with_a_sample`.
        both = (truth.label >= 0) & (np.asarray(fault.label) >= 0)
        right = np.asarray(fault.label)[both] == frames.index[both]
        pairs.append((right, np.asarray(truth.label[both] == frames.index[both])))
        # The session's part of live accuracy, and of that the labels that can be put right.
        known = len(right) / max(1, int((truth.label >= 0).sum()))
        shares.append(known * sizes[id(session)] / max(1.0, sum(sizes.values())))
    how = "; ".join(f"{fault.name}: {fault.evidence}" for _, fault in fixed)
    return Step(LABELS, *lost_points(pairs, shares), how)
