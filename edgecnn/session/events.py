"""The lines of a session's events: one JSON object a line, format 2; format 1 is still read.

A score is written in 256ths, the step of an integer model: a whole number from 0 to 255 for
an integer file, and with decimals, up to 256, for a float one: five for the answer, one for
others. Times `t` are milliseconds since the start of the session on a clock that never jumps.
What is unknown is left out of the line.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from math import isfinite
from operator import index as as_integer
from pathlib import Path
from typing import Any, NamedTuple

from edgecnn.errors import SessionError, listed

__all__ = [
    "BROKEN",
    "FRAME_BEGIN",
    "NONE_LABEL",
    "TRUTH_BEGIN",
    "VIAS",
    "FrameEvent",
    "TruthEvent",
    "event_kind",
    "event_line",
    "event_lines",
    "top_scores",
    "utc_time",
]

# What reading a broken line of events may raise.
BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
# What people call a frame that shows none of the classes, unless a class is called so.
NONE_LABEL = "none of these"

_UNIT = 256  # a score of 1
_TOP = 3
# Of more classes than this, a line with all scores leaves out those below an integer model's step.
_MOST_SCORES = 32
_MOST_THINGS = 1 << 31
_WHYS = ("all", "stretch", "uniform", "hard", "chosen")
_MOST_FRAMES = 1 << 44
# Readers of sessions take others too: a program of someone else may have given the label.
VIAS = (
    *("folder", "csv", "keys", "page", "strip", "stretch", "marker", "schedule", "sensor"),
    "label",
)
# Three digits would make a score of 0.9978 look higher than it is, and estimates compare scores.
_CONFIDENCE_DIGITS = 6
# The kind of an event is read from the raw line, so that a line of another kind is never parsed.
_KIND = re.compile(rb'"event"\s*:\s*"(\w+)"')
_FRACTION = re.compile(r"\.\d+")  # of a second
# As `event_line` begins a line: found faster.
_BEGIN = b'{"event":"'
FRAME_BEGIN, TRUTH_BEGIN = _BEGIN + b'frame"', _BEGIN + b'truth"'
_KINDS = {b"frame": "frame", b"truth": "truth"}
_MAX_LINE = 1 << 20
_DECODER = json.JSONDecoder()
_NO_TEXTS = (None, None, None)


def event_kind(line: bytes) -> str | None:
    """The kind of the event in a line, without parsing the line; None where there is none."""
    if line.startswith(_BEGIN):
        start = len(_BEGIN)
        kind = _KINDS.get(line[start : line.find(b'"', start)])
        if kind is not None:
            return kind
    match = _KIND.search(line)
    return match.group(1).decode() if match else None


def event_lines(path: Path, left_out: bytes) -> Iterator[tuple[str | None, bytes, bool]]:
    """(kind, line, is a last line without its line end) of each line; none of an absent file.

    Args:
        left_out: Lines that begin so are passed over: that is faster than looking at them.

    Raises:
        SessionError: The file can't be read.
    """
    try:
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if not line.startswith(left_out) and not line.isspace():
                    torn = not line.endswith(b"\n") and len(line) < _MAX_LINE
                    yield event_kind(line), line, torn
    except FileNotFoundError:
        return
    except OSError as error:
        raise SessionError(f"can't read {path}: {error.strerror or error}") from error


def top_scores(scores: Sequence[float], count: int = _TOP) -> tuple[tuple[int, float], ...]:
    """The best (index, score) of an answer, best first; ties go to the lower index.

    Example:
        >>> top_scores([0.1, 0.4, 0.4, 0.1])
        ((1, 0.4), (2, 0.4), (0, 0.1))
    """
    best = heapq.nlargest(count, range(len(scores)), key=scores.__getitem__)
    return tuple((k, scores[k]) for k in best)


class FrameEvent(NamedTuple):
    """What the device answered to a frame. It never holds a label of the field: see TruthEvent.

    Args:
        frame: Position in the source, from 0. Live sources skip numbers: those were dropped.
        t_ms: When the frame was captured, in milliseconds since the start; None in format 1.
        top: The best (index, score) first, scores in [0, 1]; format 1 gives only the best. As
            read, all of at least 1/256 where `scores` were given for more than 32 classes.
        confidence: Of the answer, after temperature scaling, in [0, 1]; None in format 1.
        age_ms: From capture to answer.
        invoke_ms: Inside the interpreter.
        at: When the frame was captured, in UTC; in a line only where it is needed.
        region: The name of the region that was classified, where there are several.
        scores: All scores, in [0, 1], of kept frames and of some others. A line holds them for 32
            classes at most.
        pool: Where its picture was kept: "uniform" or "hard"; None where it was not.
        probability: With what probability it was kept; None where chance had no part in it.
        name: File name in an image folder; None for cameras and videos.
        seconds: From the start of a recorded video, by its own clock; else None.
        image: The file of the kept picture in format 1; format 2 names it by the frame's number.
        thing: Number of the thing that the frame shows: frames of one look alike, see
            `accuracy.objects`.
        shadow: (index, confidence) of the answer of the bundle beside, where there is one.
    """

    frame: int
    t_ms: int | None
    top: tuple[tuple[int, float], ...]
    confidence: float | None
    age_ms: float
    invoke_ms: float
    at: datetime | None = None
    region: str | None = None
    scores: tuple[float, ...] | None = None
    pool: str | None = None
    probability: float | None = None
    name: str | None = None
    seconds: float | None = None
    image: str | None = None
    thing: int | None = None
    shadow: tuple[int, float] | None = None

    def to_line(self) -> bytes:
        top, scores = self.top, self.scores
        if scores is not None and len(scores) > _MOST_SCORES:
            num_telling = sum(score >= 1 / _UNIT for score in scores)
            top, scores = top_scores(scores, max(_TOP, num_telling)), None
        return event_line(
            "frame",
            frame=self.frame,
            roi=self.region,
            t=self.t_ms,
            s=None if self.seconds is None else round(self.seconds, 3),
            at=self.at,
            k=[[k, _in_256ths(s, 1 if n else 5)] for n, (k, s) in enumerate(top)],
            c=None if self.confidence is None else round(self.confidence, _CONFIDENCE_DIGITS),
            scores=None if scores is None else [_in_256ths(s, 1) for s in scores],
            age=round(self.age_ms, 1),
            invoke=round(self.invoke_ms, 2),
            pool=self.pool,
            p=None if self.probability is None else float(f"{self.probability:.4g}"),
            name=self.name,
            g=self.thing,
            shadow=None
            if self.shadow is None
            else [self.shadow[0], round(self.shadow[1], _CONFIDENCE_DIGITS)],
        )

    @classmethod
    def from_line(cls, line: bytes, session_format: int, num_labels: int) -> FrameEvent:
        """Read a line.

        Raises:
            ValueError, KeyError, TypeError: The line is broken or does not fit the labels.
        """
        data = _parsed(line)
        event = cls._from_1(data) if session_format == 1 else cls._from_2(data)
        total, scores = event.confidence or 0.0, event.scores
        if scores is not None:
            if len(scores) != num_labels:
                raise ValueError(f"{len(scores)} scores, expected {num_labels}")
            total += sum(scores)
        for k, score in event.top if event.shadow is None else (*event.top, event.shadow):
            if not 0 <= k < num_labels:
                raise ValueError("a class that the card does not have")
            total += score
        if event.thing is not None and not 0 <= event.thing < _MOST_THINGS:
            raise ValueError("no number of a thing")
        if not isfinite(total):
            raise ValueError("a score is not finite")
        return event

    @classmethod
    def _from_2(cls, data: Mapping[str, Any]) -> FrameEvent:
        known = data.get
        scores, seconds, thing = known("scores"), known("s"), known("g")
        region, pool, name = texts = known("roi"), known("pool"), known("name")
        if texts != _NO_TEXTS:
            region, pool, name = map(_text, texts)
        top = tuple([(as_integer(k), score / _UNIT) for k, score in data["k"]])
        if not top:
            raise ValueError("no answer")
        # By position: sessions have millions of lines.
        return cls(
            as_integer(data["frame"]),
            as_integer(data["t"]),
            top,
            float(data["c"]),
            float(data["age"]),
            float(data["invoke"]),
            utc_time(data["at"]) if "at" in data else None,
            region,
            None if scores is None else tuple([score / _UNIT for score in scores]),
            pool,
            known("p"),
            name,
            None if seconds is None else float(seconds),
            None,
            None if thing is None else as_integer(thing),
            _shadow(known("shadow")),
        )

    @classmethod
    def _from_1(cls, data: Mapping[str, Any]) -> FrameEvent:
        scores = tuple(map(float, data["scores"]))
        index = as_integer(data["index"])
        return cls(
            frame=as_integer(data["frame"]),
            t_ms=None,
            top=((index, scores[index]),),
            confidence=None,
            age_ms=float(data["age_ms"]),
            invoke_ms=float(data["invoke_ms"]),
            at=utc_time(data["captured_at"]),
            scores=scores,
            name=_text(data.get("name")),
            image=_text(data.get("image")),
        )


class TruthEvent(NamedTuple):
    """What a frame really shows. A later one replaces an earlier one of the same frame.

    Args:
        frame, region: As of the frame's event.
        label: None says "can't tell"; a label that the card does not have, "none of these".
        via: How it was given: "folder", "csv", "keys", "page", "strip", "stretch", "marker",
            "schedule", "sensor" or "label".
        by: Who gave it.
        blind: Whether the answer was hidden from whoever gave it.
        why: Why this frame was asked for: "all", "uniform", "hard", "stretch" or "chosen".
        probability: With what probability it was asked for.
        at: When it was given, in UTC.
        withdrawn: Takes back the last label that `source` gave to the frame; `label` is None.
    """

    frame: int
    label: str | None
    via: str
    by: str | None = None
    blind: bool | None = None
    why: str | None = None
    probability: float | None = None
    at: datetime | None = None
    region: str | None = None
    withdrawn: bool = False

    @property
    def source(self) -> str:
        """The person; where nobody is named, how the label was given."""
        return self.by or self.via

    def to_line(self) -> bytes:
        return event_line(
            "truth",
            frame=self.frame,
            roi=self.region,
            label=self.label,
            by=self.by,
            via=self.via,
            blind=self.blind,
            why=self.why,
            p=self.probability,
            at=self.at,
            withdrawn=self.withdrawn or None,
        )

    @classmethod
    def from_line(cls, line: bytes, session_format: int) -> TruthEvent:
        """Read a line.

        Raises:
            ValueError, KeyError, TypeError: The line is broken.
        """
        data = _parsed(line)
        if not isinstance(data, dict):
            raise ValueError("no JSON object")
        # Labels that are given today to a session of the past are lines of today.
        is_past = session_format == 1 and "via" not in data
        known = data.get
        blind, why, probability = known("blind"), known("why"), known("p")
        # What counts labels takes these for sound: see `truth_rows`.
        if blind not in (None, True, False):
            raise ValueError(f"blind is {blind!r}, expected true or false")
        if why is not None and why not in _WHYS:
            raise ValueError(f"why is {why!r}, expected {listed(_WHYS)}")
        if not isinstance(probability, float | int | None):
            raise TypeError(f"p is {probability!r}, expected a number")
        withdrawn = known("withdrawn", False)
        if not isinstance(withdrawn, bool) or (withdrawn and data["label"] is not None):
            raise ValueError(f"withdrawn is {withdrawn!r}, expected true with a label of null")
        return cls(
            _frame_number(data["frame"]),
            _text(data["label"]),
            str(data["source" if is_past else "via"]),
            _text(known("by")),
            None if blind is None else bool(blind),
            why,
            probability,
            utc_time(data["at"]) if "at" in data else None,
            _text(known("roi")),
            withdrawn,
        )


def event_line(kind: str, **values: Any) -> bytes:
    """One line; None is left out, but a label of None says "can't tell"."""
    known = {k: v for k, v in values.items() if v is not None or k == "label"}
    for key, value in known.items():
        if isinstance(value, datetime):
            known[key] = value.isoformat(timespec="milliseconds")
    return json.dumps({"event": kind, **known}, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    """The JSON value of a line; `json.loads` looks for encodings and white space first."""
    text = line.decode().strip()
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def _in_256ths(score: float, digits: int) -> float | int:
    value = round(score * _UNIT, digits)
    return int(value) if value == int(value) else value


def _shadow(value: Any) -> tuple[int, float] | None:
    return None if value is None else (as_integer(value[0]), float(value[1]))


def _frame_number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"frame is {value!r}, expected a whole number")
    if not 0 <= value < _MOST_FRAMES:
        raise ValueError(f"frame is {value}, expected 0 to {_MOST_FRAMES - 1}")
    return value


def _text(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"found {value!r}, expected a text")
    return value


def utc_time(text: str) -> datetime:
    """An ISO 8601 time; UTC unless the text names another zone.

    Python 3.10 reads neither the Z nor other fractions of a second than of 3 or 6 digits.

    Example:
        >>> utc_time("2026-05-01T10:00:00.123456789Z").isoformat()
        '2026-05-01T10:00:00.123456+00:00'
        >>> utc_time("2026-05-01T10:00:00.5+02:00").isoformat()
        '2026-05-01T10:00:00.500000+02:00'
    """
    text = _FRACTION.sub(lambda found: found[0][:7].ljust(7, "0"), text)
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "zZ" else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
