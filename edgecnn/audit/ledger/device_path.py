"""The step from the lab to the device: decoding, preprocessing, kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger import replay
from edgecnn.audit.ledger.step import DEVICE_PATH, Lab, paired_step, tally_of
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import ArtifactError, MissingRuntimeError, SessionError
from edgecnn.records import Progress
from edgecnn.session.layout import is_session
from edgecnn.session.read import Session, open_session

__all__ = ["with_device_path"]


def with_device_path(
    base: Lab,
    session: Session,
    bundle: Bundle,
    column: str,
    lab: Path,
    progress: Progress | None,
) -> Lab:
    try:
        answers = _device_answers(session, bundle, lab, progress)
    except MissingRuntimeError as error:
        return replace(base, notes=(f"device path not measured: {error}",))
    label = np.array([row.label for row in answers.rows])
    expected = [row.predicted[column] for row in answers.rows]
    before, after = np.array(expected) == label, np.array(answers.predicted) == label
    differs = int((np.array(answers.predicted) != np.array(expected)).sum())
    step = paired_step(
        DEVICE_PATH,
        before,
        after,
        f"{answers.how}; other answers than the lab's on {differs}; paired on",
        _hint(session, bundle, answers, expected),
    )
    notes = list(answers.notes)
    if answers.missing:
        notes.append(f"device path: {answers.missing} of the lab test images were not found")
    return replace(
        base,
        reached=tally_of(after),
        steps=(*base.steps, step),
        notes=tuple(notes),
        confidence=LabConfidence(answers.confidence, after),
    )


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
    note = f"device path: {lab} was recorded with {', '.join(other)}, it may speak for itself only"
    return replace(answers, notes=(note,))


def _hint(
    session: Session, bundle: Bundle, answers: replay.LabAnswers, expected: Sequence[str]
) -> str:
    try:
        fault = replay.explain(bundle, session.artifact, answers, expected)
    except (MissingRuntimeError, ArtifactError):
        return ""
    return f"; {fault}" if fault else ""
