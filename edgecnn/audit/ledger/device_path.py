"""The step of the device's path: decoding, resizing, colour order, value range, kernels.

It is measured on the device alone: by its answers to the kept field frames, which are given
again here (see `reanswer`), or by a session that the device recorded over the lab images.
Lab images that are answered on the auditor's own machine say nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger import lab_answers
from edgecnn.audit.ledger.reanswer import Reanswered
from edgecnn.audit.ledger.step import Step, lost_points
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import MissingRuntimeError, SessionError
from edgecnn.records import Progress
from edgecnn.session.answers import RANDOM
from edgecnn.session.headline import label_weights, labelled_rows
from edgecnn.session.layout import is_session
from edgecnn.session.read import Frames, Session, Truth, open_session

__all__ = ["DEVICE_PATH", "LabPath", "live_weight", "measure_on_lab", "step_of_kept"]

DEVICE_PATH = "device path (the bundle's own path -> what the device did)"
# So many labelled frames that chance kept are needed to say what a fault costs.
_FEWEST = 10


@dataclass(frozen=True)
class LabPath:
    """What --lab says: the step, the accuracy after it, and how sure the artifact was.

    Each is None where it was not measured; `notes` is what a reader has to know.
    """

    step: Step | None = None
    after: Tally | None = None
    confidence: LabConfidence | None = None
    notes: tuple[str, ...] = ()


def measure_on_lab(
    session: Session,
    bundle: Bundle,
    column: str,
    labs: Sequence[Path],
    progress: Progress | None,
) -> LabPath:
    """Answers to the lab test images: of images here, of sessions as the device recorded them.

    Args:
        column: The artifact's answers in the lab.
        labs: Folders of lab images, and sessions that the device recorded over them.

    Raises:
        DataError: A folder holds none of the lab test images.
        SessionError: A session is of another bundle or artifact.
    """
    found = LabPath()
    # Sessions last: what the device itself answered counts.
    for lab in sorted(labs, key=is_session):
        try:
            one = _measure(session, bundle, column, lab, progress)
        except MissingRuntimeError as error:
            one = LabPath(notes=(f"lab images not answered: {error}",))
        found = LabPath(
            one.step or found.step,
            one.after or found.after,
            one.confidence or found.confidence,
            (*found.notes, *one.notes),
        )
    return found


def _measure(
    session: Session, bundle: Bundle, column: str, lab: Path, progress: Progress | None
) -> LabPath:
    notes = []
    if is_session(lab):
        recorded = open_session(lab)
        notes = _check_lab_session(session, recorded)
        answers = lab_answers.from_session(bundle, recorded)
    else:
        answers = lab_answers.from_images(bundle, session.artifact, lab, progress)
    label = np.array([row.label for row in answers.rows])
    predicted = np.array(answers.predicted)
    expected = np.array([row.predicted[column] for row in answers.rows])
    right = predicted == label
    if answers.missing:
        notes.append(f"{lab}: {answers.missing} of the lab test images were not found")
    confidence = LabConfidence(answers.confidence, right)
    if not is_session(lab):
        return LabPath(confidence=confidence, notes=tuple(notes))
    differs = int((predicted != expected).sum())
    how = f"{answers.how}; other answers than the lab's on {differs}; paired on"
    whole = session.card.lab.tally
    step = Step.paired(DEVICE_PATH, expected == label, right, how, whole=whole)
    reached = Tally.of(right).worth_as(whole)
    return LabPath(step, reached, confidence, tuple(notes))


def _check_lab_session(session: Session, recorded: Session) -> list[str]:
    if (recorded.bundle_sha256, recorded.artifact) != (session.bundle_sha256, session.artifact):
        raise SessionError(
            f"{recorded.path} ran {recorded.artifact} of bundle {recorded.bundle_sha256[:12]}, "
            f"{session.path} ran {session.artifact} of {session.bundle_sha256[:12]}; "
            "record the lab images with the same artifact"
        )
    other = recorded.header.differences(session.header)
    if not other:
        return []
    return [
        f"device path: {recorded.path} was recorded with {', '.join(other)}; this step may not "
        "apply to the audited session"
    ]


def step_of_kept(
    found: Sequence[Reanswered | None], parts: Sequence[tuple[Session, Frames, Truth]]
) -> Step | None:
    """The step measured on the kept frames of all sessions; None where it can't be priced.

    Where all answers agree nothing was lost, with or without labels. The device is not charged
    with what keeping pictures as JPEG explains: it answered them before. Else the labelled frames
    that chance kept are counted: those that were kept because they are hard are no sample. A short
    session keeps about as many as a long one: each counts by its part of the live figure.
    Pictures that are not what was answered tell no price.

    Args:
        found: Of each session.
    """
    known = [(one, part) for one, part in zip(found, parts, strict=True) if one is not None]
    if not known or any(one.fault and not one.match.names for one, _ in known):
        return None
    count, agreed = (sum(n) for n in zip(*((len(o.rows), o.agreed) for o, _ in known), strict=True))
    how = _evidence([one for one, _ in known], count, agreed)
    same = sum(len(one.rows) if one.by_jpeg else one.agreed for one, _ in known)
    if same == count:
        most = 100 * Tally(count - agreed, count).interval[1]
        return Step(DEVICE_PATH, 0.0, -most, most, how)
    pairs, sizes = [], []
    for one, (_, frames, truth) in known:
        sampled = np.array([frames.by_chance(int(row)) for row in one.rows])
        # A person who picks frames to label picks misread ones.
        counted = sampled & (truth.label[one.rows] >= 0) & (truth.why[one.rows] >= RANDOM)
        label = truth.label[one.rows[counted]]
        device = np.asarray(frames.index[one.rows[counted]] == label)
        own = device if one.by_jpeg else np.asarray(one.index[counted] == label)
        pairs.append((own, device))
        sizes.append(live_weight(frames, truth) if len(label) else 0.0)
    own, device = map(np.concatenate, zip(*pairs, strict=True))
    if len(own) < _FEWEST or not sum(sizes):
        return None
    what = "labelled frames kept by chance"
    if len(known) > 1:
        what += " (each session counts by its part of live accuracy)"
    points, low, high = lost_points(pairs, [size / sum(sizes) for size in sizes])
    step = Step.paired(DEVICE_PATH, own, device, f"{how}; of", what=what)
    return replace(step, points=points, low=low, high=high)


def live_weight(frames: Frames, truth: Truth) -> float:
    """For how many frames the labels of a session speak in live accuracy."""
    return float(label_weights(frames, truth, labelled_rows(truth)).sum())


def _evidence(found: Sequence[Reanswered], count: int, agreed: int) -> str:
    if len(found) == 1:
        return found[0].evidence
    return (
        f"{agreed} of {count} kept frames of {len(found)} sessions, answered again, agree with the "
        "device"
    )
