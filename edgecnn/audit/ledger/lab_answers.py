"""Answers to the lab test images: given here, or recorded on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, LabTestRow
from edgecnn.bundle.preprocess import decode
from edgecnn.errors import DataError, SessionError
from edgecnn.files.folders import file_sha256, find_images
from edgecnn.records import Progress
from edgecnn.session.read import Session, read_frames

__all__ = ["LabAnswers", "from_images", "from_session"]


@dataclass(frozen=True)
class LabAnswers:
    """What was answered to lab test images.

    `predicted` is the label of each row, `confidence` float32 (n,) calibrated by the card's
    temperature, `missing` the number of lab test images that were not found.
    """

    rows: Sequence[LabTestRow]
    predicted: Sequence[str]
    confidence: np.ndarray
    missing: int
    how: str


def from_images(
    bundle: Bundle, artifact: str, folder: Path, progress: Progress | None = None
) -> LabAnswers:
    """Decode, preprocess and classify the lab test images on this machine.

    Args:
        folder: The lab images; files are matched to lab_test.csv by their digest.

    Raises:
        DataError: No image, or none of the bundle's lab test.
        MissingRuntimeError: The artifact's runtime is not installed here.
    """
    classifier = Classifier(bundle, artifact)
    wanted = bundle.lab_test()
    rows, predicted, scores = [], [], []
    for row, data in _encoded(wanted, folder):
        answer = classifier(decode(data, row.file))
        rows.append(row)
        predicted.append(answer.label)
        scores.append(answer.scores)
        if progress:
            progress("answering lab images", len(rows), len(wanted))
    if not rows:
        raise DataError(
            f"{folder} holds none of the {len(wanted)} lab test images of {bundle.path} (compared "
            "by SHA-256); give the folder that the model was trained on"
        )
    step = classifier.artifact.output.scale
    confidence = calibrated_confidence(np.array(scores, np.float32), bundle.card.temperature, step)
    how = f"decoded and classified on this machine ({classifier.runtime.name})"
    return LabAnswers(rows, predicted, confidence, len(wanted) - len(rows), how)


def from_session(bundle: Bundle, session: Session) -> LabAnswers:
    """Match a session that the device recorded over the lab images with lab_test.csv by name.

    Raises:
        SessionError: No frame, or none that is a lab test image.
    """
    frames = read_frames(session, keep_names=True)
    wanted = bundle.lab_test()
    positions, names = list(frames.names), list(frames.names.values())
    found = _match([row.file for row in wanted], names)
    matched = [(wanted[row], positions[at]) for row, at in found.items()]
    if not matched:
        raise SessionError(
            f"{session.path} holds none of the {len(wanted)} lab test images of {bundle.path} "
            "(compared by file name); record it by `edgecnn run BUNDLE --source LAB --log ...`"
        )
    at = np.array([k for _, k in matched])
    labels = session.card.labels
    return LabAnswers(
        rows=[row for row, _ in matched],
        predicted=[labels[k] for k in frames.index[at]],
        confidence=frames.calibrated[at],
        missing=len(wanted) - len(matched),
        how=f"recorded on {session.header.device} ({session.header.runtime})",
    )


def _encoded(rows: Sequence[LabTestRow], folder: Path) -> Iterator[tuple[LabTestRow, bytes]]:
    """The lab test images that `folder` holds, by digest; looked for under their own name first."""
    lost: dict[str, LabTestRow] = {}
    for row in rows:
        data = _bytes(folder / row.file)
        if file_sha256(data) == row.sha256:
            yield row, data
        else:
            lost[row.sha256] = row
    for path in find_images(folder) if lost else ():
        data = _bytes(path)
        found = lost.pop(file_sha256(data), None)
        if found is not None:
            yield found, data


def _bytes(path: Path) -> bytes:
    """A file's bytes; none where it is absent or unreadable: its image then counts as missing."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _match(files: Sequence[str], names: Sequence[str]) -> dict[int, int]:
    """Row -> position in `names`. A session names its images relative to its source, which may
    be LAB, a folder above or below it: the ends of the paths are compared, from the longest,
    class folder included where both have one, and only where no other path ends so.
    """
    rows, ends = _unique_ends(files), _unique_ends(names)
    found: dict[int, int] = {}
    for row, file in enumerate(files):
        parts = file.split("/")
        for k in range(len(parts)):
            end = "/".join(parts[k:])
            at = ends.get(end)
            if at is None or rows.get(end) != row:
                continue
            if len(parts) - k >= min(2, len(parts), names[at].count("/") + 1):
                found[row] = at
            break
    return found


def _unique_ends(paths: Sequence[str]) -> dict[str, int]:
    """The ends of paths ('3/a.png', 'a.png') that belong to one path only."""
    owner: dict[str, int] = {}
    for k, path in enumerate(paths):
        parts = path.split("/")
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            owner[end] = -1 if end in owner else k
    return {end: k for end, k in owner.items() if k >= 0}
