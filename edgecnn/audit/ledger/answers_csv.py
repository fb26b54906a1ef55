"""`audit --csv`: a row for each answer of the sessions, with its label where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgecnn.files.manifest import csv_text
from edgecnn.files.staging import write_file
from edgecnn.session.answers import CANT_TELL, NO_TRUTH, region_of
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["ANSWERS_HEADER", "write_answers"]

ANSWERS_HEADER = (
    *("session", "frame", "region", "file", "picture"),
    *("answer", "confidence", "label", "correct"),
)


def write_answers(target: Path, parts: Sequence[tuple[Session, Frames, Truth]]) -> None:
    """Write the table, whole or not at all.

    `file` is the name in an image folder, `picture` the kept one; `label` is empty where nobody
    gave one; `correct` is 1 or 0, and empty without one of the model's labels.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_file(target, csv_text(ANSWERS_HEADER, (row for part in parts for row in _rows(*part))))


def _rows(session: Session, frames: Frames, truth: Truth) -> Iterator[tuple[object, ...]]:
    labels = session.card.labels
    regions = {code: name or "" for name, code in frames.regions.items()}
    columns = (frames.frame, region_of(frames.key), frames.index, frames.calibrated, truth.label)
    for k, (frame, region, index, certain, label) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        yield (
            session.path,
            frame,
            regions[region],
            frames.names.get(k, ""),
            frames.images.get(k, ""),
            labels[index],
            f"{certain:.3f}",
            _label_text(label, labels),
            int(label == index) if label >= 0 else "",
        )


def _label_text(label: int, labels: Sequence[str]) -> str:
    if label >= 0:
        return labels[label]
    return {NO_TRUTH: "", CANT_TELL: "can't tell"}.get(label, "none of these")
