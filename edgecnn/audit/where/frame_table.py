"""All frames of an audit in one table: what was answered, where, when, and how it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import cv2
import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.ledger.reanswer import spread
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.session.answers import region_of
from edgecnn.session.headline import (
    is_right,
    joined,
    label_weights,
    labelled_rows,
    objects_shown,
)
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["Field", "FrameTable", "Labelled", "Looks"]

_THIRDS = ("lowest third", "middle third", "highest third")
# At most so many pictures of a session are measured; thirds of fewer in all say nothing.
_MOST_PICTURES, _FEWEST_PICTURES = 400, 60
_HEADER = ("device", "runtime", "source", "name", "site")


@dataclass(frozen=True)
class Field:
    """What frames belong to: int8 or int16, shape (n,), positions in `values`; -1 where unknown."""

    values: tuple[str, ...]
    code: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """Frames whose label counts; columns of shape (m,).

    row int, its place in the table; right bool; weight float64, for how many frames it stands, None
    where each stands for itself; thing int32: frames with the same number show the same object.
    """

    row: np.ndarray
    right: np.ndarray
    weight: np.ndarray | None
    thing: np.ndarray

    def tally(self, some: np.ndarray) -> Tally:
        """Accuracy of some of them, by objects; some: bool, shape (m,)."""
        weight = None if self.weight is None else self.weight[some]
        return Clusters.of(self.right[some], self.thing[some], weight=weight).tally()


@dataclass(frozen=True)
class Looks:
    """Kept pictures as the model sees them; columns of shape (k,): the row of the frame, its mean
    grey level, and the log of the variance of its Laplacian.
    """

    row: np.ndarray
    brightness: np.ndarray
    sharpness: np.ndarray


@dataclass(frozen=True)
class FrameTable:
    """Columns of shape (n,), one session after the other.

    index, confidence   the answer, and what its score is worth
    days                shape (r, 2): from this row on the day, since year 1 in UTC; 0: unknown
    fields              by name: those in which not all frames are equal
    """

    index: np.ndarray
    confidence: np.ndarray
    days: np.ndarray
    fields: dict[str, Field]
    labelled: Labelled
    looks: Looks

    @classmethod
    def of(cls, parts: Sequence[tuple[Session, Frames, Truth]]) -> FrameTable:
        """Gather all sessions; reads the kept pictures."""
        index = joined([frames.index for _, frames, _ in parts])
        confidence = joined([frames.calibrated for _, frames, _ in parts])
        starts = _starts(parts).tolist()
        days = [f.days + np.array([k, 0]) for k, (_, f, _) in zip(starts, parts, strict=True)]
        looks, count = _looks(parts), len(index)
        fields = {
            **_header_fields(parts),
            "region": _region(parts),
            "day": _day(joined(days), count),
            "brightness": _thirds(count, looks.row, looks.brightness),
            "sharpness": _thirds(count, looks.row, looks.sharpness),
        }
        several = {name: field for name, field in fields.items() if len(field.values) > 1}
        return cls(index, confidence, joined(days), several, _labelled(parts), looks)


def _starts(parts: Sequence[tuple[Session, Frames, Truth]]) -> np.ndarray:
    """The row of each session's first frame."""
    return np.cumsum([0, *(len(frames) for _, frames, _ in parts[:-1])])


def _labelled(parts: Sequence[tuple[Session, Frames, Truth]]) -> Labelled:
    shown = objects_shown([(frames, truth) for _, frames, truth in parts])
    columns = []
    for start, (_, frames, truth), numbers in zip(_starts(parts), parts, shown, strict=True):
        rows = labelled_rows(truth)
        weight = label_weights(frames, truth, rows)
        counted = weight > 0
        found = (rows, is_right(frames, truth, rows), weight, numbers)
        rows += start  # only now, and in place: there may be millions
        columns.append(found if counted.all() else tuple(c[counted] for c in found))
    row, right, weight, thing = map(joined, zip(*columns, strict=True))
    return Labelled(row, right, None if (weight == 1).all() else weight, thing)


def _header_fields(parts: Sequence[tuple[Session, Frames, Truth]]) -> dict[str, Field]:
    sizes = [len(frames) for _, frames, _ in parts]
    headers = [session.header for session, _, _ in parts]
    texts = {name: [str(getattr(head, name) or "") for head in headers] for name in _HEADER}
    texts["host"] = [str(head.host.get("name") or "") for head in headers]
    texts["session"] = [str(session.path) for session, _, _ in parts]
    found = {}
    for name, values in texts.items():
        known = sorted({value for value in values if value})
        code = [known.index(value) if value else -1 for value in values]
        if len(known) > 1:  # else no part of the frames differs from another
            found[name] = Field(tuple(known), np.repeat(np.array(code, np.int16), sizes))
    return found


def _region(parts: Sequence[tuple[Session, Frames, Truth]]) -> Field:
    """By name: a region has another position in each session."""
    known = sorted({name or "" for _, frames, _ in parts for name in frames.regions})
    if len(known) == 1:
        return Field(tuple(known), np.zeros(0, np.int16))
    columns = []
    for _, frames, _ in parts:
        code = np.array([known.index(name or "") for name in frames.regions], np.int16)
        columns.append(code[region_of(frames.key)])
    return Field(tuple(known), joined(columns))


def _day(days: np.ndarray, count: int) -> Field:
    known, code = np.unique(days[:, 1], return_inverse=True)
    unknown = int(known[0] == 0)
    values = tuple(date.fromordinal(int(one)).isoformat() for one in known[unknown:])
    lengths = np.diff(days[:, 0], append=count)
    kind = np.int8 if len(values) <= np.iinfo(np.int8).max else np.int16
    return Field(values, np.repeat((code - unknown).astype(kind), lengths))


def _thirds(count: int, row: np.ndarray, values: np.ndarray) -> Field:
    if len(row) < _FEWEST_PICTURES:
        return Field((), np.zeros(0, np.int8))
    code = np.full(count, -1, np.int8)
    code[row] = np.searchsorted(np.quantile(values, (1 / 3, 2 / 3)), values)
    return Field(_THIRDS, code)


def _looks(parts: Sequence[tuple[Session, Frames, Truth]]) -> Looks:
    """Of the pictures that chance kept."""
    found: list[tuple[int, float, float]] = []
    for start, (session, frames, _) in zip(_starts(parts).tolist(), parts, strict=True):
        rows = [row for row in frames.images if frames.pools.get(row, "uniform") == "uniform"]
        for row in spread(sorted(rows), _MOST_PICTURES):
            picture = readable_image(session.picture(frames.images[row]))
            if picture is not None:
                grey = cv2.cvtColor(to_tensor(picture, session.card.input), cv2.COLOR_RGB2GRAY)
                detail = float(cv2.Laplacian(grey, cv2.CV_64F).var())
                found.append((start + row, float(grey.mean()), float(np.log(1 + detail))))
    columns = np.array(found).reshape(-1, 3).T
    return Looks(columns[0].astype(np.int64), columns[1], columns[2])
