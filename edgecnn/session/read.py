"""Reading SESSION folders: session.json and events.jsonl as `edgecnn run --log` writes them.

Two passes that never meet: `read_frames` parses only what the device answered, `read_truth`
only the labels. What has to work without field labels is given `Frames` and can't see any.
Lines are streamed; what stays in memory is about 24 bytes a frame.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from operator import index as as_integer
from pathlib import Path

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.bundle.card import Card
from edgecnn.errors import BundleError, SessionError
from edgecnn.records import Json
from edgecnn.session.events import FrameEvent, TruthEvent

__all__ = [
    "Frames",
    "Session",
    "Truth",
    "open_session",
    "read_frames",
    "read_truth",
]

_FORMAT = 1
# The kind of an event is read from the raw line, so that a line of another kind is never parsed.
_KIND = re.compile(rb'"event"\s*:\s*"(\w+)"')
_MAX_LINE = 1 << 20
_CHUNK = 4096
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Session:
    """session.json: which bundle ran where. `info` is the file as written."""

    path: Path
    card: Card
    bundle_path: str
    bundle_sha256: str
    artifact: str
    info: Json

    @property
    def step(self) -> float:
        """The step of the scores: the scale of the artifact's output, 0 where it is float."""
        return next((a.output.scale for a in self.card.artifacts if a.file == self.artifact), 0.0)

    def image(self, name: str) -> Path:
        """The file in frames/ that an event names; folders in the name are not followed."""
        return self.path / "frames" / Path(name).name

    def summary(self) -> Json:
        """What a report says about how the session came about."""
        keys = ("edgecnn", "device", "runtime", "source", "source_color", "truth", "host")
        return {
            "path": str(self.path),
            "artifact": self.artifact,
            **{key: self.info.get(key) for key in (*keys, "started_at")},
        }


@dataclass(frozen=True)
class Frames:
    """What the device answered, in the order of the frame numbers; no label of the field.

    `frame` int64, `index` int32, `confidence` and `calibrated` float32, all of shape (n,):
    the top score as the device gave it, and after temperature scaling by the card's
    temperature. `images` and `names` map a row to the file in frames/ and to the file name in
    an image folder (kept on request). `separate`: every frame is a file of an image folder.
    """

    frame: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    calibrated: np.ndarray
    images: dict[int, str]
    names: dict[int, str]
    separate: bool
    broken: int
    torn: bool
    repeated: int
    end: str | None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Truth:
    """Field labels aligned with `Frames`: int32, shape (n,), index of the label or -1.

    `unknown` counts labels that the model doesn't have, by label.
    """

    label: np.ndarray
    broken: int
    unknown: dict[str, int]


def open_session(path: Path | str) -> Session:
    """Read session.json.

    Raises:
        SessionError: No session folder, or one of another format.
    """
    path = Path(path)
    head = path / "session.json"
    try:
        data = json.loads(head.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(
            f"{path} has no session.json, expected a folder that `edgecnn run --log` wrote"
        ) from error
    except OSError as error:
        raise SessionError(f"can't read {head}: {error.strerror or error}") from error
    except ValueError as error:
        raise SessionError(f"{head} is not JSON ({error}); record the session again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != _FORMAT:
        raise SessionError(
            f"{head} has format {found!r}, this edgecnn reads format {_FORMAT}; "
            "audit it with the edgecnn that wrote it"
        )
    try:
        card = Card.from_json(data["card"])
        bundle = data["bundle"]
        return Session(
            path, card, str(bundle["path"]), str(bundle["sha256"]), str(data["artifact"]), data
        )
    except (KeyError, TypeError, AttributeError, BundleError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise SessionError(f"{head} is incomplete ({reason}); record the session again") from error


def read_frames(session: Session, *, keep_names: bool = False) -> Frames:
    """Read what the device answered. Truth lines are never parsed.

    A torn last line is skipped, other broken lines are counted, unknown events are ignored.

    Raises:
        SessionError: events.jsonl is missing, unreadable or holds no frame.
    """
    rows = _Rows(session.card, session.step, keep_names, _stored(session.path / "frames"))
    for kind, line, last in _events(session):
        if kind == b"truth":
            continue
        if kind not in (b"frame", b"end"):
            rows.broken += kind is None and not last
            rows.torn |= kind is None and last
            continue
        try:
            if kind == b"frame":
                rows.add(FrameEvent.from_json(json.loads(line)))
            else:
                rows.end = str(json.loads(line).get("reason"))
        except _BROKEN:
            rows.torn |= last
            rows.broken += not last
    if not len(rows.frame):
        raise SessionError(
            f"{session.path}/events.jsonl holds no frame ({rows.broken} broken lines), expected at "
            "least one; was the run stopped before its first frame?"
        )
    return rows.finish()


def read_truth(session: Session, frames: Frames) -> Truth:
    """Read the field labels; a later label of a frame replaces an earlier one.

    Raises:
        SessionError: events.jsonl can't be read.
    """
    labels = {label: k for k, label in enumerate(session.card.labels)}
    unknown: dict[str, int] = {}
    frame, label = array("q"), array("i")
    broken = 0
    for kind, line, last in _events(session):
        if kind != b"truth":
            continue
        try:
            event = TruthEvent.from_json(json.loads(line))
            known = labels.get(event.label, -1)
            frame.append(event.frame)
        except _BROKEN:
            broken += not last
            continue
        label.append(known)
        if known < 0:
            unknown[str(event.label)] = unknown.get(str(event.label), 0) + 1
    return Truth(_align(frames.frame, np.array(frame), np.array(label)), broken, unknown)


def _events(session: Session) -> Iterator[tuple[bytes | None, bytes, bool]]:
    """(kind, line, is a last line without its line end) of each line of events.jsonl."""
    path = session.path / "events.jsonl"
    try:
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if line.isspace():
                    continue
                match = _KIND.search(line)
                torn = not line.endswith(b"\n") and len(line) < _MAX_LINE
                yield (match.group(1) if match else None), line, torn
    except FileNotFoundError as error:
        raise SessionError(f"{path} is missing; copy the whole session folder") from error
    except OSError as error:
        raise SessionError(f"can't read {path}: {error.strerror or error}") from error


def _stored(folder: Path) -> frozenset[str]:
    """The pictures that are still there: a session may come without them."""
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:
        return frozenset()


def _align(frame: np.ndarray, truth_frame: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The last label of each frame, -1 where there is none."""
    aligned = np.full(len(frame), -1, np.int32)
    if not len(truth_frame):
        return aligned
    order = np.argsort(truth_frame, kind="stable")
    truth_frame, label = truth_frame[order], label[order]
    at = np.searchsorted(truth_frame, frame, side="right") - 1
    found = (at >= 0) & (truth_frame[at] == frame)
    aligned[found] = label[at[found]]
    return aligned


@dataclass
class _Rows:
    """Grows `Frames` column by column."""

    card: Card
    step: float
    keep_names: bool
    stored: frozenset[str]  # the files that frames/ still holds
    frame: array[int] = field(default_factory=lambda: array("q"))
    index: array[int] = field(default_factory=lambda: array("i"))
    confidence: array[float] = field(default_factory=lambda: array("f"))
    images: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    named: int = 0
    broken: int = 0
    torn: bool = False
    end: str | None = None
    _scores: list[tuple[float, ...]] = field(default_factory=list)
    _calibrated: list[np.ndarray] = field(default_factory=list)

    def add(self, event: FrameEvent) -> None:
        frame, index = as_integer(event.frame), as_integer(event.index)
        if len(event.scores) != len(self.card.labels) or not 0 <= index < len(event.scores):
            raise ValueError("scores or index do not fit the labels")
        if not isfinite(sum(event.scores)):
            raise ValueError("a score is not finite")
        row = len(self.frame)
        self.frame.append(frame)
        self.index.append(index)
        self.confidence.append(event.scores[index])
        self._scores.append(event.scores)
        if event.image is not None and Path(event.image).name in self.stored:
            self.images[row] = event.image
        if event.name is not None:
            self.named += 1
            if self.keep_names:
                self.names[row] = event.name
        if len(self._scores) == _CHUNK:
            self._flush()

    def finish(self) -> Frames:
        self._flush()
        frame = np.array(self.frame)
        # In order of frame number; of a frame that stands twice the later answer counts.
        order = np.argsort(frame, kind="stable")
        last = np.append(frame[order][1:] != frame[order][:-1], True)
        kept = order[last]
        row_of = np.full(len(frame), -1)
        row_of[kept] = np.arange(len(kept))
        return Frames(
            frame=frame[kept],
            index=np.array(self.index)[kept],
            confidence=np.array(self.confidence)[kept],
            calibrated=np.concatenate(self._calibrated)[kept],
            images={int(row_of[k]): v for k, v in self.images.items() if row_of[k] >= 0},
            names={int(row_of[k]): v for k, v in self.names.items() if row_of[k] >= 0},
            separate=self.named == len(frame),
            broken=self.broken,
            torn=self.torn,
            repeated=len(frame) - len(kept),
            end=self.end,
        )

    def _flush(self) -> None:
        if self._scores:
            scores = np.array(self._scores, np.float32)
            confidence = calibrated_confidence(scores, self.card.temperature, self.step)
            self._calibrated.append(confidence)
            self._scores.clear()
