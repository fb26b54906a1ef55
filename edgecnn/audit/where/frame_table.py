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
from edgecnn.audit.recordings.exchanges import region_rows
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.session.answers import frame_key
from edgecnn.session.headline import (
    is_right,
    joined,
    label_weights,
    labelled_rows,
    objects_shown,
)
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.session.reading.devices import names_of
from edgecnn.session.reading.thin_log import stands_for

__all__ = ["Field", "FrameTable", "Labelled", "Looks", "header_values"]

_THIRDS = ("lowest third", "middle third", "highest third")
_TIMES = ("first third", "middle third", "last third")
# At most so many pictures of a session are measured; thirds of fewer in all say nothing.
_MOST_PICTURES, _FEWEST_PICTURES = 400, 60
_HEADER = ("device", "runtime", "source", "name", "site")


@dataclass(frozen=True)
class Field:
    """What frames belong to.

    runs    int, shape (r, 2): from this row on the position in `values`; -1 where unknown
    """

    values: tuple[str, ...]
    runs: np.ndarray

    def column(self, count: int) -> np.ndarray:
        """The positions of all frames: int8 or int16, shape (count,)."""
        kind = np.int8 if len(self.values) <= np.iinfo(np.int8).max else np.int16
        return np.repeat(self.runs[:, 1].astype(kind), np.diff(self.runs[:, 0], append=count))


@dataclass(frozen=True)
class Labelled:
    """Frames whose label counts; columns of shape (m,).

    right bool; weight float64, for how many frames it stands, None where each stands for itself;
    thing int32: frames with the same number show the same object.
    is_there  bool, shape (n,): which frames of the table these are
    """

    is_there: np.ndarray
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
    weight              float64, for how many answers each stands; None where logs leave none out
    days                shape (r, 2): from this row on the day, since year 1 in UTC; 0: unknown
    of_device           int, shape (r,): which of `devices` each row of `days` is of
    fields              by name: those in which not all frames are equal
    """

    index: np.ndarray
    confidence: np.ndarray
    days: np.ndarray
    devices: tuple[str, ...]
    of_device: np.ndarray
    fields: dict[str, Field]
    labelled: Labelled
    looks: Looks
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, parts: Sequence[tuple[Session, Frames, Truth]]) -> FrameTable:
        """Gather all sessions; reads the kept pictures."""
        index = joined([frames.index for _, frames, _ in parts])
        confidence = joined([frames.calibrated for _, frames, _ in parts])
        starts = _starts(parts).tolist()
        days = [f.days + np.array([k, 0]) for k, (_, f, _) in zip(starts, parts, strict=True)]
        names = names_of([session for session, _, _ in parts])
        devices = tuple(dict.fromkeys(names))
        code = [devices.index(name) for name in names]
        of_device = np.repeat(code, [len(frames.days) for _, frames, _ in parts])
        looks = _looks(parts)
        fields = {
            **_header_fields(parts),
            "region": _region(parts),
            "day": _day(joined(days)),
            "time": _times(parts),
            "brightness": _thirds(looks.row, looks.brightness),
            "sharpness": _thirds(looks.row, looks.sharpness),
        }
        several = {name: field for name, field in fields.items() if len(field.values) > 1}
        weight = stands_for([frames for _, frames, _ in parts])
        return cls(
            index,
            confidence,
            joined(days),
            devices,
            of_device,
            several,
            _labelled(parts),
            looks,
            weight,
        )


def _starts(parts: Sequence[tuple[Session, Frames, Truth]]) -> np.ndarray:
    """The row of each session's first frame."""
    return np.cumsum([0, *(len(frames) for _, frames, _ in parts[:-1])])


def _labelled(parts: Sequence[tuple[Session, Frames, Truth]]) -> Labelled:
    shown = objects_shown([(frames, truth) for _, frames, truth in parts])
    columns, is_there = [], []
    for (_, frames, truth), numbers in zip(parts, shown, strict=True):
        rows = labelled_rows(truth)
        weight = label_weights(frames, truth, rows)
        is_counted, is_here = weight > 0, truth.label >= 0
        is_here[rows[~is_counted]] = False
        is_there.append(is_here)
        found = (is_right(frames, truth, rows), weight, numbers)
        columns.append(found if is_counted.all() else tuple(c[is_counted] for c in found))
    right, weight, thing = map(joined, zip(*columns, strict=True))
    return Labelled(joined(is_there), right, None if (weight == 1).all() else weight, thing)


def header_values(sessions: Sequence[Session]) -> dict[str, list[str]]:
    """What the header of each session says, by field; empty where it says nothing."""
    headers = [session.header for session in sessions]
    texts = {name: [str(getattr(head, name) or "") for head in headers] for name in _HEADER}
    texts["host"] = [str(head.host.get("name") or "") for head in headers]
    texts["session"] = [str(session.path) for session in sessions]
    return texts


def _header_fields(parts: Sequence[tuple[Session, Frames, Truth]]) -> dict[str, Field]:
    found = {}
    for name, values in header_values([session for session, _, _ in parts]).items():
        known = sorted({value for value in values if value})
        code = [known.index(value) if value else -1 for value in values]
        if len(known) > 1:  # else no part of the frames differs from another
            found[name] = Field(tuple(known), np.stack([_starts(parts), code], axis=1))
    return found


def _region(parts: Sequence[tuple[Session, Frames, Truth]]) -> Field:
    """By name: a region has another position in each session."""
    known = sorted({name or "" for _, frames, _ in parts for name in frames.regions})
    runs = []
    for start, (_, frames, _) in zip(_starts(parts), parts, strict=True):
        first = np.array([frame_key(0, k) for k in frames.regions.values()], frames.key.dtype)
        code = [known.index(name or "") for name in frames.regions]
        runs.append(np.stack([start + np.searchsorted(frames.key, first), code], axis=1))
    return Field(tuple(known), joined(runs))


def _day(days: np.ndarray) -> Field:
    known, code = np.unique(days[:, 1], return_inverse=True)
    unknown = int(known[0] == 0)
    values = tuple(date.fromordinal(int(one)).isoformat() for one in known[unknown:])
    return Field(values, np.stack([days[:, 0], code - unknown], axis=1))


def _times(parts: Sequence[tuple[Session, Frames, Truth]]) -> Field:
    """By third of each session, or region: of a camera or film, and of one day."""
    runs, known = [], False
    for start, (_, frames, _) in zip(_starts(parts).tolist(), parts, strict=True):
        has_time = not frames.separate and len(np.unique(frames.days[:, 1])) == 1
        known |= has_time
        for rows in region_rows(frames).values():
            size = rows.stop - rows.start
            for k in range(len(_TIMES)):
                first = start + rows.start + size * k // len(_TIMES)
                runs.append((first, k if has_time else -1))
    return Field(_TIMES if known else (), np.array(runs, int).reshape(-1, 2))


def _thirds(row: np.ndarray, values: np.ndarray) -> Field:
    """Of frames with a picture; those between them are unknown."""
    if len(row) < _FEWEST_PICTURES:
        return Field((), np.zeros((0, 2), int))
    code = np.searchsorted(np.quantile(values, (1 / 3, 2 / 3)), values)
    one = np.stack([row, code, row + 1, np.full(len(row), -1)], axis=1)
    return Field(_THIRDS, np.concatenate([[[0, -1]], one.reshape(-1, 2)]))


def _looks(parts: Sequence[tuple[Session, Frames, Truth]]) -> Looks:
    """Of the pictures that chance kept."""
    found: list[tuple[int, float, float]] = []
    for start, (session, frames, _) in zip(_starts(parts).tolist(), parts, strict=True):
        rows = [row for row in frames.images if frames.by_chance(row)]
        for row in spread(sorted(rows), _MOST_PICTURES):
            picture = readable_image(session.picture(frames.images[row]))
            if picture is not None:
                grey = cv2.cvtColor(to_tensor(picture, session.card.input), cv2.COLOR_RGB2GRAY)
                detail = float(cv2.Laplacian(grey, cv2.CV_64F).var())
                found.append((start + row, float(grey.mean()), float(np.log(1 + detail))))
    columns = np.array(found).reshape(-1, 3).T
    return Looks(columns[0].astype(np.int64), columns[1], columns[2])
