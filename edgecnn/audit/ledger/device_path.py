"""The step from the lab to the device: decoding, preprocessing, kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger import replay
from edgecnn.audit.ledger.step import Step
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import ArtifactError, MissingRuntimeError, SessionError
from edgecnn.records import Progress
from edgecnn.session.layout import is_session
from edgecnn.session.read import Session, open_session

__all__ = ["DEVICE_PATH", "DevicePath", "measure_device_path"]

DEVICE_PATH = "device path (lab quantized -> lab through the device path)"


@dataclass(frozen=True)
class DevicePath:
    """The step and the lab accuracy after it; None, and `notes` says why, if not measured.

    `confidence` is how sure the artifact was of its answers.
    """

    step: Step | None
    after: Tally | None
    confidence: LabConfidence | None
    notes: tuple[str, ...]


def measure_device_path(
    session: Session, bundle: Bundle, column: str, lab: Path, progress: Progress | None
) -> DevicePath:
    """Compare the lab's answers with those of the device path to the same images.

    Args:
        column: The artifact's answers in the lab.
        lab: The lab image folder, or a session that the device recorded over it.

    Raises:
        DataError: `lab` holds none of the lab test images.
        SessionError: `lab` is a session of another bundle or artifact.
    """
    try:
        answers = _device_answers(session, bundle, lab, progress)
    except MissingRuntimeError as error:
        return DevicePath(None, None, None, (f"device path not measured: {error}",))
    label = np.array([row.label for row in answers.rows])
    expected = [row.predicted[column] for row in answers.rows]
    before, after = np.array(expected) == label, np.array(answers.predicted) == label
    differs = int((np.array(answers.predicted) != np.array(expected)).sum())
    step = Step.paired(
        DEVICE_PATH,
        before,
        after,
        f"{answers.how}; other answers than the lab's on {differs}; paired on",
        _hint(session, bundle, answers, expected),
    )
    notes = list(answers.notes)
    if answers.missing:
        notes.append(f"device path: {answers.missing} of the lab test images were not found")
    confidence = LabConfidence(answers.confidence, after)
    return DevicePath(step, Tally.of(after), confidence, tuple(notes))


def _device_answers(
    session: Session, bundle: Bundle, lab: Path, progress: Progress | None
) -> replay.LabAnswers:
    if not is_session(lab):
        return replay.from_images(bundle, session.artifact, lab, progress)
    recorded = open_session(lab)
    if (recorded.bundle_sha256, recorded.artifact) != (session.bundle_sha256, session.artifact):
        raise SessionError(
            f"{lab} ran {recorded.artifact} of bundle {recorded.bundle_sha256[:12]}, "
            f"{session.path} ran {session.artifact} of {session.bundle_sha256[:12]}; "
            "record the lab images with the same artifact"
        )
    answers = replay.from_session(bundle, recorded)
    other = recorded.header.differences(session.header)
    if not other:
        return answers
    note = (
        f"device path: {lab} was recorded with {', '.join(other)}; this step may not apply to the "
        "audited session"
    )
    return replace(answers, notes=(note,))


def _hint(
    session: Session, bundle: Bundle, answers: replay.LabAnswers, expected: Sequence[str]
) -> str:
    try:
        fault = replay.explain(bundle, session.artifact, answers, expected)
    except (MissingRuntimeError, ArtifactError):
        return ""
    return f"; {fault}" if fault else ""
