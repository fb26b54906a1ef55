"""Reading SESSION folders of both formats.

Two passes that never meet: `read_frames` parses only what the device answered, `read_truth`
only the labels, also those of SESSION.labels.jsonl beside the folder. What has to work without
field labels is given `Frames` and can't see any. Lines are streamed; what stays in memory is
about 17 bytes a frame, with its label.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.accuracy.intervals import is_increasing
from edgecnn.accuracy.thing_rule import LOOKS, ThingRule
from edgecnn.errors import SessionError
from edgecnn.session.answers import frame_key, latest
from edgecnn.session.events import (
    BROKEN,
    FRAME_BEGIN,
    TRUTH_BEGIN,
    FrameEvent,
    TruthEvent,
    event_lines,
)
from edgecnn.session.header import Session, open_session
from edgecnn.session.layout import EVENTS_NAME, PICTURES_NAME, labels_beside, picture_stem
from edgecnn.session.reading.columns import days_of, moved, narrowed, spread_scores
from edgecnn.session.reading.frames import Frames, KeptFrame
from edgecnn.session.reading.time_of_day import SourceClock, TimeOfDay
from edgecnn.session.truth_rows import Truth, TruthRows, appended

__all__ = [
    "Frames",
    "KeptFrame",
    "Session",
    "Truth",
    "frame_events",
    "kept_pictures",
    "open_session",
    "read_frames",
    "read_truth",
    "truth_events",
]

_CHUNK = 4096
# Keys from here on are of eight bytes: two of fewer can be added in four.
_WIDE = 1 << 30
# How a run says that --log-mb is used up.
_LOG_ENDS = b": the log ends"


def read_frames(session: Session, *, keep_names: bool = False, things: str | None = None) -> Frames:
    """Read what the device answered. Truth lines are never parsed.

    A torn last line is skipped, other broken lines are counted, unknown events are ignored.

    Args:
        things: What counts as one thing, see `accuracy.thing_rule`; None: what the run
            took for one.

    Raises:
        SessionError: The events are missing, unreadable or hold no frame, or not what `things`
            needs.
    """
    rows = _Rows(session, keep_names, _stored(session), _other_rule(session, things))
    num_labels = len(session.card.labels)
    for kind, line, torn in _events(session, TRUTH_BEGIN):
        try:
            if kind == "frame":
                rows.add(FrameEvent.from_line(line, session.header.format, num_labels))
            elif kind == "end":
                rows.finish_run(json.loads(line))
            elif kind == "health" and _LOG_ENDS in line:
                rows.cut_short = 0
            elif kind is None:
                raise ValueError("no event")
        except BROKEN:
            if not torn:
                rows.break_off()
    if not len(rows.key):
        raise SessionError(
            f"{session.path / EVENTS_NAME} holds no frame ({rows.broken} broken lines), expected "
            "at least one; was the run stopped before its first frame? leave this session out"
        )
    if rows.untimed:
        raise SessionError(
            f"{session.path}: its frames have no times, so --things {things} can't tell what they "
            "show; give --things each, or leave it out"
        )
    return rows.finish()


def read_truth(session: Session, frames: Frames, more: Iterable[TruthEvent] = ()) -> Truth:
    """Read the field labels; a later label of a frame replaces an earlier one.

    Args:
        more: Labels that are not in the session, such as those of a CSV file.

    Raises:
        SessionError: The events can't be read.
    """
    rows = TruthRows(session.card.labels, frames.regions)
    for kind, line, torn in _labels(session):
        try:
            if kind == "truth":
                rows.add(TruthEvent.from_line(line, session.header.format))
            elif kind == "end":
                rows.guarded = int(json.loads(line).get("guarded", 0))
        except BROKEN:
            rows.broken += kind == "truth" and not torn
    for event in more:
        rows.add(event)
    return rows.finish(frames.key)


def truth_events(session: Session) -> Iterator[TruthEvent]:
    """The labels of a session and of the file beside it; lines that are broken are left out.

    Raises:
        SessionError: The events can't be read.
    """
    for kind, line, _ in _labels(session):
        if kind == "truth":
            with suppress(*BROKEN):
                yield TruthEvent.from_line(line, session.header.format)


def frame_events(session: Session) -> Iterator[FrameEvent]:
    """The answers of a session, one after the other; lines that are broken are left out.

    Each has its time of day where the session can say it.

    Raises:
        SessionError: The events can't be read.
    """
    num_labels, clock = len(session.card.labels), TimeOfDay()
    for kind, line, _ in _events(session, TRUTH_BEGIN):
        if kind == "frame":
            with suppress(*BROKEN):
                event = FrameEvent.from_line(line, session.header.format, num_labels)
                yield event._replace(at=clock.at(event))


def kept_pictures(path: Path) -> dict[str, KeptFrame]:
    """What a session knows of its kept pictures, by name; nothing if it can't be read."""
    try:
        frames = read_frames(open_session(path))
    except SessionError:
        return {}
    return {name: frames.kept[row] for row, name in frames.images.items()}


def _other_rule(session: Session, things: str | None) -> ThingRule | None:
    """How things are numbered anew; None where the numbers of the run stay.

    Raises:
        SessionError: By looks, but the run numbered none.
    """
    if things is None or ThingRule.parse(things) == session.header.thing_rule:
        return None
    if things == LOOKS:
        raise SessionError(
            f"{session.path} was recorded with --things {session.header.things}, so nothing in it "
            "tells looks apart; leave --things out"
        )
    return ThingRule.parse(things)


def _labels(session: Session) -> Iterator[tuple[str | None, bytes, bool]]:
    """`event_lines` of the events, then of the labels beside; frames may be left out."""
    beside = event_lines(labels_beside(session.path), FRAME_BEGIN)
    return chain(_events(session, FRAME_BEGIN), beside)


def _events(session: Session, left_out: bytes) -> Iterator[tuple[str | None, bytes, bool]]:
    """`event_lines` of the events, which every session has."""
    path = session.path / EVENTS_NAME
    if not path.exists():
        raise SessionError(
            f"{session.path}: {EVENTS_NAME} is missing; copy the whole session folder"
        )
    return event_lines(path, left_out)


def _stored(session: Session) -> dict[str, str]:
    """The pictures that are still there, by stem: a session may come without them."""
    try:
        return {path.stem: path.name for path in (session.path / PICTURES_NAME).iterdir()}
    except OSError:
        return {}


@dataclass
class _Rows:
    """Grows `Frames` column by column."""

    session: Session
    keep_names: bool
    stored: dict[str, str]
    rule: ThingRule | None = None
    untimed: bool = False
    key: array[int] = field(default_factory=lambda: array("i"))
    index: array[int] = field(default_factory=lambda: array("b"))
    confidence: array[float] = field(default_factory=lambda: array("f"))
    calibrated: array[float] = field(default_factory=lambda: array("f"))
    images: dict[int, str] = field(default_factory=dict)
    kept: dict[int, KeptFrame] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    regions: dict[str | None, int] = field(default_factory=dict)
    days: list[tuple[int, int]] = field(default_factory=list)
    thing: array[int] = field(default_factory=lambda: array("i"))
    shadow: array[int] = field(default_factory=lambda: array("i"))
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    pools: dict[int, str] = field(default_factory=dict)
    named: int = 0
    num_kept: int = 0
    broken: int = 0
    end: str | None = None
    answered: int | None = None
    cut_short: int | None = None
    chances: dict[int, float] = field(default_factory=dict)
    _scores: list[tuple[float, ...]] = field(default_factory=list)
    _clock: TimeOfDay = field(default_factory=TimeOfDay)
    _shown: dict[int, int] = field(default_factory=dict)
    _pictured: set[int] = field(default_factory=set)
    _own_rule: ThingRule = field(default_factory=ThingRule)
    _source_clock: SourceClock = field(default_factory=SourceClock)

    def __post_init__(self) -> None:
        # Of most frames no picture was kept: their names need not be made.
        numbers = (stem.partition("_")[0] for stem in self.stored)
        self._own_rule = self.session.header.thing_rule
        self._source_clock = SourceClock(self.session.header.first_frame_ms)
        self._pictured = {int(number) for number in numbers if number.isdecimal()}

    def finish_run(self, end: Mapping[str, Any]) -> None:
        """Note why the run ended, and how many answers there were that could be logged."""
        self.end = str(end.get("reason"))
        answered, lost = end.get("frames"), end.get("lines not logged", 0)
        if isinstance(answered, int) and isinstance(lost, int):
            self.cut_short = None if self.cut_short is None else answered
            if self.session.header.run is None:  # else these are of earlier sessions too
                self.answered = max(0, answered - lost // max(1, len(self.regions)))

    def break_off(self) -> None:
        """Count a broken line: what the frame after it shows is only known if that says so."""
        self.broken += 1
        self._shown.clear()

    def add(self, event: FrameEvent) -> None:
        row = len(self.key)
        region = self.regions.setdefault(event.region, len(self.regions))
        key = frame_key(event.frame, region)
        day = self._clock.day(event)
        if event.image is not None or event.frame in self._pictured:
            self._add_picture(row, event)  # the last that can fail: columns stay of one length
        elif event.pool is not None:
            self.num_kept += 1
        if key >= _WIDE and self.key.typecode == "i":
            self.key = array("q", self.key)
        self.key.append(key)
        if not self.days or self.days[-1][1] != day:
            self.days.append((row, day))
        index, score = event.top[0]
        self.index = appended(self.index, index)
        self.confidence.append(score)
        if event.pool is not None:
            chance = event.probability or 0.0
            self.chances[row] = chance if event.pool == "uniform" else 0.0
        if self.session.header.shadow is not None:
            self.shadow.append(-1 if event.shadow is None else event.shadow[0])
        shown = self._thing(event, region)
        if shown is not None:
            self.thing = appended(self.thing, shown)
        if event.confidence is not None:
            self.calibrated.append(event.confidence)
        elif event.scores is not None:  # format 1 leaves the confidence to its reader
            self._scores.append(event.scores)
            if len(self._scores) == _CHUNK:
                self._flush()
        if event.name is not None:
            self.named += 1
            if self.keep_names:
                self.names[row] = event.name

    def _thing(self, event: FrameEvent, region: int) -> int | None:
        """The number of what a frame shows; None where nothing says it."""
        if self.rule is None:
            if event.thing is not None:
                self._shown[region] = event.thing
            if region in self._shown or self._own_rule.by_looks:
                return self._shown.get(region)
        rule = self.rule or self._own_rule
        # The times of images are those at which they were read.
        seconds = self._source_clock.seconds(event) if event.name is None else None
        if seconds is None and rule.stays:
            self.untimed = self.rule is not None
            return None
        return rule.number(event.frame, max(0.0, seconds or 0.0))

    def finish(self) -> Frames:
        self._flush()
        key = np.frombuffer(self.key, self.key.typecode)
        # Of a frame that was logged twice, the later answer counts. Nearly always none is, and
        # then nothing is copied: a session may have ten million frames.
        kept = None if is_increasing(key) else latest(key)

        def chosen(values: np.ndarray) -> np.ndarray:
            return values if kept is None else values[kept]

        def column(values: array[int] | array[float]) -> np.ndarray:
            return chosen(np.frombuffer(values, values.typecode))

        return Frames(
            key=column(self.key),
            index=column(self.index),
            confidence=chosen(narrowed(self.confidence)),
            calibrated=column(self.calibrated),
            images=moved(self.images, kept),
            kept=moved(self.kept, kept),
            names=moved(self.names, kept),
            regions=self.regions,
            separate=self.named == len(key),
            broken=self.broken,
            repeated=0 if kept is None else len(key) - len(kept),
            end=self.end,
            days=days_of(self.days, len(key), kept),
            thing=column(self.thing) if len(self.thing) == len(key) else None,
            by_looks=(self.rule or self._own_rule).by_looks,
            shadow=column(self.shadow) if len(self.shadow) == len(key) else None,
            scores=moved(self.scores, kept),
            pools=moved(self.pools, kept),
            num_kept=self.num_kept,
            chances=moved(self.chances, kept),
            answered=self.answered,
            cut_short=self.cut_short,
            num_foreign=len(self.stored) - len(set(self.images.values())),
        )

    def _add_picture(self, row: int, event: FrameEvent) -> None:
        """Note the picture of a frame, if it is still there, and what is known of it."""
        self.num_kept += event.pool is not None or event.image is not None
        if event.image is None and self.session.header.format == 1:
            return
        stem = picture_stem(event.frame, event.region)
        name = self.stored.get(stem if event.image is None else Path(event.image).stem)
        if name is None or event.image not in (None, name):
            return
        self.images[row] = name
        self.scores[row] = event.scores or spread_scores(event.top, len(self.session.card.labels))
        if event.pool is not None:
            self.pools[row] = event.pool
        live = event.name is None and event.seconds is None
        live = live and not self.session.header.ran_over_files
        time = self._clock.at(event) if live else None
        hard = event.pool not in (None, "uniform")
        self.kept[row] = KeptFrame(time, hard, event.seconds, event.name)

    def _flush(self) -> None:
        """Compute the confidence of format 1 from all scores, many answers at a time."""
        if self._scores:
            scores, card = np.array(self._scores, np.float32), self.session.card
            file = self.session.artifact
            step = next((a.output.scale for a in card.artifacts if a.file == file), 0.0)
            self.calibrated.extend(calibrated_confidence(scores, card.temperature, step).tolist())
            self._scores.clear()
