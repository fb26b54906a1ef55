"""Whether a session's files fit together: its header and the bundle, answers and scores, pictures.

What would make figures wrong is refused or named as a fault; what only leaves something out is a
note.
"""

from __future__ import annotations

import re

import numpy as np

from edgecnn._version import __version__
from edgecnn.accuracy.intervals import chunks
from edgecnn.audit.fault import Fault
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import SessionError
from edgecnn.session.layout import HEADER_NAME, PICTURES_NAME, short_name
from edgecnn.session.read import Frames, Session

__all__ = ["check_files", "check_header"]

# Scores are logged in 256ths, and confidence with six digits.
_STEP = 1.5 / 256


def check_header(session: Session, bundle: Bundle | None) -> list[str]:
    """Compare session.json with the bundle that ran; what a reader has to know besides.

    Raises:
        SessionError: It says something else than the bundle, though it names that bundle.
    """
    notes = []
    if _is_newer(session.header.edgecnn):
        notes.append(
            f"{short_name(session.path)}: recorded by edgecnn {session.header.edgecnn}, this is "
            f"{__version__}: what it logged besides is not read"
        )
    if bundle is None:
        return notes
    said, own = session.card, bundle.card
    other = [
        name
        for name, ours, theirs in (
            ("labels", said.labels, own.labels),
            ("input", said.input, own.input),
            ("temperature", said.temperature, own.temperature),
            ("artifact", session.header.artifact_sha256, _digest(session, bundle)),
        )
        if ours != theirs
    ]
    if other:
        raise SessionError(
            f"{session.path / HEADER_NAME} has another {' and '.join(other)} than {bundle.path}, "
            "the bundle that it names; it was changed after the run: copy the session again"
        )
    return notes


def check_files(session: Session, frames: Frames) -> tuple[list[Fault], list[str]]:
    """Check answers against their scores, the range of the scores, and the kept pictures."""
    name, faults, notes = short_name(session.path), [], []
    outside = _num_outside(frames)
    if outside:
        faults.append(
            Fault(
                "session",
                "scores outside of 0 to 1",
                None,
                f"{outside} of {len(frames)} answers of {name}; scores are written in "
                "256ths, confidence as a fraction",
                str(session.path),
            )
        )
    unlike = [
        row
        for row, scores in frames.scores.items()
        if scores[int(frames.index[row])] < max(scores) - _STEP
    ]
    if unlike:
        faults.append(
            Fault(
                "session",
                "answers that are not their highest score",
                None,
                f"{len(unlike)} of {len(frames.scores)} kept frames of {name}, frame "
                f"{int(frames.frame[unlike[0]])} first",
                str(session.path),
            )
        )
    if frames.num_kept and not frames.images:
        notes.append(
            f"{name}: {frames.num_kept} pictures were kept, but {PICTURES_NAME}/ has none of them; "
            "copy the whole session folder"
        )
    if frames.num_foreign:
        notes.append(
            f"{name}: {frames.num_foreign} files in {PICTURES_NAME}/ belong to no answer, left out"
        )
    return faults, notes


def _num_outside(frames: Frames) -> int:
    """How many answers have a score that is none."""
    count = 0
    for part in chunks(len(frames)):
        columns = np.stack([frames.confidence[part], frames.calibrated[part]])
        count += int(((columns < -_STEP) | (columns > 1 + _STEP)).any(axis=0).sum())
    return count


def _digest(session: Session, bundle: Bundle) -> str | None:
    """Of the artifact in the bundle; None where the session or the bundle does not say."""
    if session.header.artifact_sha256 is None:
        return None
    found = (a.sha256 for a in bundle.card.artifacts if a.file == session.artifact)
    return next(found, session.header.artifact_sha256)


def _is_newer(version: str | None) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:3]]

    return version is not None and numbers(version) > numbers(__version__)
