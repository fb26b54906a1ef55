"""Live accuracy from the device's answers and the field labels: totals, classes, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Json, Record, json_as
from edgecnn.session.answers import number_objects
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["Confusion", "Live", "Misread", "Slice", "measure_live"]

_WORST, _KINDS, _EXAMPLES, _SHEET = 18, 20, 6, 36
_SLICES, _SMALLEST_SLICE = 40, 15


@dataclass(frozen=True)
class Misread(Record):
    """A wrong answer: session folder, frame, labels, top score, picture (where it was kept)."""

    session: str
    frame: int
    truth: str
    predicted: str
    confidence: float
    image: Path | None


@dataclass(frozen=True)
class Confusion(Record):
    """Frames of class `truth` read as `predicted`; `objects` of them show different objects."""

    truth: str
    predicted: str
    frames: int
    objects: int
    examples: tuple[Misread, ...] = field(metadata=json_as(hidden=True))


@dataclass(frozen=True)
class Slice(Record):
    """Accuracy of a run of consecutive labelled frames, `first` to `last` of `session`."""

    session: str
    first: int = field(metadata=json_as("first_frame"))
    last: int = field(metadata=json_as("last_frame"))
    tally: Tally = field(metadata=json_as(hidden=True))

    def to_json(self) -> Json:
        return super().to_json() | self.tally.to_json()


@dataclass(frozen=True)
class Live:
    """What the labelled field frames say. confusion[i][j]: true label i answered as label j."""

    tally: Tally
    per_class: dict[str, Tally]
    confusion: tuple[tuple[int, ...], ...]
    confusions: tuple[Confusion, ...]
    worst: tuple[Misread, ...]
    over_time: tuple[Slice, ...]


def measure_live(parts: Sequence[tuple[Session, Frames, Truth]], labels: Sequence[str]) -> Live:
    """Compare the answers of all sessions with their field labels."""
    table = _Labelled.of(parts)
    right = table.truth == table.index
    tally = Clusters.of(right, table.segment).tally
    size = len(labels)
    cells = np.bincount(table.truth * size + table.index, minlength=size * size)
    confusion = cells.reshape(size, size)
    return Live(
        tally=tally,
        per_class={label: _part(right[table.truth == k], tally) for k, label in enumerate(labels)},
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        confusions=_confusions(table, parts, labels),
        worst=_misreads(table, np.flatnonzero(~right), parts, labels, _WORST),
        over_time=_over_time(table, right, parts, tally),
    )


@dataclass(frozen=True)
class _Labelled:
    """The labelled frames of all sessions, one after the other; columns of shape (n,).

    `segment` numbers the objects that they show: see `answers.number_objects`.
    """

    truth: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    frame: np.ndarray
    session: np.ndarray
    row: np.ndarray
    segment: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[tuple[Session, Frames, Truth]]) -> _Labelled:
        columns: list[tuple[np.ndarray, ...]] = []
        segments = 0
        for k, (_, frames, truth) in enumerate(parts):
            rows = np.flatnonzero(truth.label >= 0)
            objects = number_objects(frames.key, truth.label, separate=frames.separate)
            segment = objects[rows] + segments
            segments += len(frames)
            columns.append(
                (
                    truth.label[rows].astype(np.int64),
                    frames.index[rows],
                    frames.confidence[rows],
                    frames.frame[rows],
                    np.full(len(rows), k),
                    rows,
                    segment,
                )
            )
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _part(right: np.ndarray, whole: Tally) -> Tally:
    """A part of the frames, worth as much a frame as the whole is (but never under one)."""
    tally = Tally.of(right)
    if whole.effective is None or not tally.total:
        return tally
    return replace(tally, effective=max(1.0, whole.effective * tally.total / whole.total))


def _confusions(
    table: _Labelled, parts: Sequence[tuple[Session, Frames, Truth]], labels: Sequence[str]
) -> tuple[Confusion, ...]:
    """The 20 largest confusions, with up to 6 pictures each and 36 in all."""
    size = len(labels)
    wrong = np.flatnonzero(table.truth != table.index)
    pair = table.truth[wrong] * size + table.index[wrong]
    kinds, counts = np.unique(pair, return_counts=True)
    found = []
    left = _SHEET
    for k in np.argsort(-counts, kind="stable")[:_KINDS]:
        rows = wrong[pair == kinds[k]]
        examples = _misreads(table, rows, parts, labels, min(left, _EXAMPLES), pictures_only=True)
        left -= len(examples)
        truth, predicted = divmod(int(kinds[k]), size)
        objects = len(np.unique(table.segment[rows]))
        found.append(Confusion(labels[truth], labels[predicted], len(rows), objects, examples))
    return tuple(found)


def _misreads(
    table: _Labelled,
    rows: np.ndarray,
    parts: Sequence[tuple[Session, Frames, Truth]],
    labels: Sequence[str],
    most: int,
    pictures_only: bool = False,
) -> tuple[Misread, ...]:
    """The most confident of `rows`, one a segment: the next frame shows the same object again.

    Of a segment the frame whose picture was kept is taken, if there is one.
    """
    kept = np.array([int(table.row[r]) in parts[table.session[r]][1].images for r in rows], bool)
    if pictures_only:
        rows, kept = rows[kept], kept[kept]
    by_confidence = np.lexsort((-table.confidence[rows], ~kept))
    rows = rows[by_confidence]
    _, first = np.unique(table.segment[rows], return_index=True)
    rows = rows[first]
    rows = rows[np.argsort(-table.confidence[rows], kind="stable")][:most]
    return tuple(_misread(table, int(r), parts, labels) for r in rows)


def _misread(
    table: _Labelled,
    row: int,
    parts: Sequence[tuple[Session, Frames, Truth]],
    labels: Sequence[str],
) -> Misread:
    session, frames, _ = parts[table.session[row]]
    name = frames.images.get(int(table.row[row]))
    return Misread(
        session=str(session.path),
        frame=int(table.frame[row]),
        truth=labels[table.truth[row]],
        predicted=labels[table.index[row]],
        confidence=round(float(table.confidence[row]), 4),
        image=session.picture(name) if name else None,
    )


def _over_time(
    table: _Labelled,
    right: np.ndarray,
    parts: Sequence[tuple[Session, Frames, Truth]],
    whole: Tally,
) -> tuple[Slice, ...]:
    """Up to 40 stretches of equal length in each session, each worth 15 answers or more."""
    slices = []
    worth = 1.0 if whole.effective is None else whole.effective / max(1, whole.total)
    for k, (session, _, _) in enumerate(parts):
        rows = np.flatnonzero(table.session == k)
        count = max(1, min(_SLICES, int(len(rows) * worth) // _SMALLEST_SLICE))
        for part in np.array_split(rows, count):
            if len(part):
                first, last = int(table.frame[part[0]]), int(table.frame[part[-1]])
                slices.append(Slice(str(session.path), first, last, _part(right[part], whole)))
    return tuple(slices)
