"""The true labels of frames, read from a CSV file.

A truth CSV has a header and one of these column sets; other columns are ignored:

    frame,label          one frame, by its position in the source, from 0
    first,last,label     frames first to last, both included
    start,end,label      start <= time < end, in seconds or hh:mm:ss from the start of the
                         source, or (live sources) ISO 8601 in UTC
    name,label           an image by its path below the source folder, or by its file name

Frames without a row have no truth and are not counted. Semicolons or tabs between the cells are
read too, and decimal commas with them.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from edgecnn.errors import TruthError, listed
from edgecnn.files.csv_table import SEPARATORS
from edgecnn.session.events import NONE_LABEL, utc_time
from edgecnn.session.reading.truth_table import point, read_truth_table, truth_header, truth_rows
from edgecnn.session.timeline import Span, Timeline, doubt_frames, doubt_names, doubt_times

__all__ = [
    "CsvLabels",
    "Footage",
    "check_label",
    "labels_from_csv",
    "parse_moment",
]

_FORMS: tuple[tuple[str, ...], ...] = (
    ("frame",),
    ("first", "last"),
    ("start", "end"),
    ("name",),
    ("file",),  # as `evaluate --csv` and manifests call it
)
_CLOCK = re.compile(r"(?:[0-9]{1,4}:)?[0-9]{1,2}:[0-9]{2}(?:\.[0-9]+)?")  # hh:mm:ss, mm:ss
_EPOCH = 1e9  # seconds since 1970 in 2001; from the start of a source they are 31 years
_FRAME = re.compile(r"[0-9]{1,15}(?:\.0*)?")
_EXPECTED = "frame,label or first,last,label or start,end,label or name,label"

_SOURCES = "none, folder, keys, marker, schedule:FILE, sensor:FILE or a CSV file"


@dataclass(frozen=True)
class _Row:
    """A row of a truth CSV: its line number, the key columns as text, and the label."""

    line: int
    keys: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Footage:
    """What a truth CSV has to know of the frames.

    Args:
        live: From a camera or stream; None where nobody knows.
        names: The files of an image folder, below it; None for cameras and videos.
        timed: Whether frames have a time from the start; a raw stream has none.
        length: How many frames there are, where that is known.
        most: How many of them are read, where that was limited.
        offset: Added to the frame numbers of the file.
        seconds: How long the recording lasts, where that is known.
    """

    live: bool | None
    names: Sequence[str] | None = None
    timed: bool = True
    length: int | None = None
    most: int | None = None
    offset: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class CsvLabels:
    """The labels of a truth CSV, and what they go by.

    Args:
        by: "frame" is the frame's number, "name" its file; "seconds" count from the start of the
            source, "clock" is the time of day in seconds since 1970.
        timeline: The labels by number or time.
        names: The labels by file.
        notes: How the file was read, where that is not plain, and what to doubt.
        rows: Each row's line in the file, and its frames or times; none where it goes by names.
        num_absent: Names that are of no image.
    """

    by: Literal["frame", "name", "seconds", "clock"]
    timeline: Timeline = field(default_factory=lambda: Timeline(()))
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rows: tuple[tuple[int, Span], ...] = ()
    num_absent: int = 0

    @property
    def bounds(self) -> tuple[float, float] | None:
        """From where to where the file goes, the end not included; None of names."""
        return self.timeline.bounds

    @property
    def by_time(self) -> bool:
        return self.by in ("seconds", "clock")

    def find(
        self, frame: int, name: str | None, seconds: float | None, at: datetime | None
    ) -> str | None:
        """The label of a frame, by whichever of these the file goes."""
        if self.by == "name":
            return self.names.get(name or "")
        key = frame if self.by == "frame" else self.moment(seconds, at)
        return None if key is None else self.timeline.find(key)

    def moment(self, seconds: float | None, at: datetime | None) -> float | None:
        """When a frame was captured, on the clock that the file goes by."""
        if self.by == "clock":
            return None if at is None else at.timestamp()
        return seconds


def labels_from_csv(path: Path, footage: Footage, labels: Sequence[str]) -> CsvLabels:
    """What a truth CSV says of the frames of a source.

    Raises:
        TruthError: A label that the bundle lacks, rows that contradict each other or are
            malformed (with the line number), or a form that this source can't be asked by.
    """
    form, rows, notes = _read_rows(path, labels)
    if form in ("name", "file"):
        found = _by_name(path, rows, footage)
    elif form == "start":
        found = _by_time(path, rows, footage)
    else:
        found = _by_frames(path, rows, footage)
    return replace(found, notes=(*notes, *found.notes))


def _read_rows(path: Path, labels: Sequence[str]) -> tuple[str, list[_Row], list[str]]:
    """The form (its first key column) and the rows of a truth CSV, and how they were read."""
    table = read_truth_table(path, f"a CSV file of {_EXPECTED}", _SOURCES)
    separator = table.separator
    notes = [] if separator == "," else [f"{path} is read with {SEPARATORS[separator]}"]
    try:
        header = truth_header(path, table)
        form = _find_form(f"{path} line {table.line}", header)
        places = [header.index(column) for column in (*form, "label")]
        rows = []
        for cells in truth_rows(path, table, header):
            *keys, label = (cells[place] for place in places)
            if form == ("start", "end"):
                keys = [point(key) for key in keys]
            check_label(f"{path} line {table.line}", label, labels)
            rows.append(_Row(table.line, tuple(keys), label))
    except csv.Error as error:
        raise TruthError(f"{path} line {table.line}: not a CSV file ({error})") from error
    if not rows:
        raise TruthError(f"{path} has a header and no rows; expected rows of {','.join(header)}")
    return form[0], rows, notes


def check_label(where: str, label: str, labels: Sequence[str]) -> None:
    """Refuse a label that the bundle lacks; "none of these" is always one.

    Args:
        where: The file and line.

    Raises:
        TruthError: It does.
    """
    if label not in labels and label != NONE_LABEL:
        hint = f"; {NONE_LABEL!r} is for what is none of them"
        hint = hint if label else "; leave the row out where nobody knows"
        raise TruthError(
            f"{where}: label {label!r} is not in the bundle; expected {listed(labels)}{hint}"
        )


def _find_form(where: str, header: list[str]) -> tuple[str, ...]:
    for form in _FORMS:
        if {*form, "label"} <= set(header):
            return form
    raise TruthError(f"{where}: columns {','.join(header)[:100]!r}, expected {_EXPECTED}")


def _by_frames(path: Path, rows: list[_Row], footage: Footage) -> CsvLabels:
    spans = []
    for row in rows:
        first, last = _whole(path, row, row.keys[0]), _whole(path, row, row.keys[-1])
        if last < first:
            raise TruthError(f"{path} line {row.line}: frames {first} to {last} run backwards")
        if first + footage.offset < 0:
            raise TruthError(
                f"{path} line {row.line}: frame {first} moved by --truth-offset {footage.offset} "
                f"is frame {first + footage.offset}, and frames count from 0; "
                "leave --truth-offset out, or give the one of this file"
            )
        first, last = first + footage.offset, last + footage.offset
        spans.append((row, Span(first, last + 1, row.label)))
    lines = [(row.line, span) for row, span in spans]
    notes = doubt_frames(path, lines, footage.length, footage.most)
    return CsvLabels("frame", _timeline(path, spans), notes=tuple(notes), rows=tuple(lines))


def _by_time(path: Path, rows: list[_Row], footage: Footage) -> CsvLabels:
    clock = not footage.live and _CLOCK.fullmatch(rows[0].keys[0]) is not None
    absolute = not clock and not _is_number(rows[0].keys[0])
    if footage.names is not None:
        raise TruthError(f"{path}: images have no time; expected columns frame,label or name,label")
    if not footage.timed and not absolute:
        raise TruthError(
            f"{path} goes by seconds, but this recording is a raw stream and carries no time; "
            "say its frames per second with --fps, or give frame,label"
        )
    dated = absolute and parse_moment(rows[0].keys[0], absolute=True) is not None
    absolute = absolute and (dated or bool(footage.live))
    epoch = bool(footage.live) and _is_number(rows[0].keys[0])
    epoch = epoch and float(rows[0].keys[0]) >= _EPOCH
    if dated and not footage.live:
        raise TruthError(
            f"{path} line {rows[0].line}: a time of day, but this source is a recording; "
            "give seconds or hh:mm:ss from its start"
        )
    spans = []
    for row in rows:
        start, end = (_moment(path, row, text, absolute=absolute) for text in row.keys)
        if end <= start:
            raise TruthError(
                f"{path} line {row.line}: {row.keys[0]} to {row.keys[1]} is empty or runs backwards"
            )
        spans.append((row, Span(start, end, row.label)))
    notes = [f"{path}: times such as {rows[0].keys[0]} count from the recording's start"]
    lines = [(row.line, span) for row, span in spans]
    notes = notes if clock else []
    notes += [f"{path}: times such as {rows[0].keys[0]} count from 1970 (UTC)"] if epoch else []
    notes += doubt_times(path, lines, None if absolute else footage.seconds)
    labels = _timeline(path, spans)
    by: Literal["clock", "seconds"] = "clock" if absolute or epoch else "seconds"
    return CsvLabels(by, labels, notes=tuple(notes), rows=tuple(lines))


def _by_name(path: Path, rows: list[_Row], footage: Footage) -> CsvLabels:
    if footage.names is None:
        raise TruthError(f"{path}: names fit an image folder only; expected frames or times")
    table = _table(path, rows, [_file_name(row.keys[0]) for row in rows])
    shares = Counter(PurePosixPath(name).name for name in footage.names)
    found, hit = {}, set()
    for name in footage.names:
        base = PurePosixPath(name).name
        hit.add(name if name in table else base)
        if name in table:
            found[name] = table[name]
        elif base in table:
            if shares[base] > 1:
                raise TruthError(
                    f"{path}: {base!r} is the name of {shares[base]} images; give paths below the "
                    "source folder"
                )
            found[name] = table[base]
    if not found:
        raise TruthError(
            f"{path}: none of its {len(table)} names is in the source (the first: "
            f"{rows[0].keys[0]!r}; the source's first: {footage.names[0]!r})"
        )
    absent = [name for name in table if name not in hit]
    notes = doubt_names(path, absent, len(table))
    return CsvLabels("name", names=found, notes=tuple(notes), num_absent=len(absent))


def _file_name(cell: str) -> str:
    """A path as the source has it: "a/1.jpg" for "./a/1.jpg" and "a\\1.jpg"."""
    return PurePosixPath(cell.replace("\\", "/")).as_posix()


def _table(path: Path, rows: list[_Row], keys: Iterable[Any]) -> Mapping[Any, str]:
    seen: dict[Any, _Row] = {}
    for row, key in zip(rows, keys, strict=True):
        earlier = seen.setdefault(key, row)
        if earlier.label != row.label:
            raise TruthError(
                f"{path} line {row.line}: {key} is {row.label!r}, but line {earlier.line} says "
                f"{earlier.label!r}"
            )
    return {key: row.label for key, row in seen.items()}


def _timeline(path: Path, rows: list[tuple[_Row, Span]]) -> Timeline:
    """The spans in order; those that overlap with the same label are joined."""
    joined: list[tuple[_Row, Span]] = []
    for row, span in sorted(rows, key=lambda r: (r[1].start, r[1].end)):
        if not joined or span.start >= joined[-1][1].end:
            joined.append((row, span))
            continue
        first, before = joined[-1]
        if span.label != before.label:
            late, early = max(row.line, first.line), min(row.line, first.line)
            raise TruthError(
                f"{path} line {late}: overlaps line {early}, and they disagree "
                f"({before.label!r}, {span.label!r})"
            )
        joined[-1] = (first, Span(before.start, max(before.end, span.end), span.label))
    return Timeline([span for _, span in joined])


def _whole(path: Path, row: _Row, text: str) -> int:
    if not _FRAME.fullmatch(text):
        raise TruthError(
            f"{path} line {row.line}: {text!r}, expected a frame number from 0 (seconds go into "
            "columns start,end,label)"
        )
    return int(text.partition(".")[0])  # programs for tables write 12 as 12.0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _moment(path: Path, row: _Row, text: str, *, absolute: bool) -> float:
    moment = parse_moment(text, absolute=absolute)
    if moment is None:
        kind = "an ISO 8601 time" if absolute else "seconds from the start of the source"
        raise TruthError(f"{path} line {row.line}: {text!r}, expected {kind}")
    return moment


def parse_moment(text: str, *, absolute: bool) -> float | None:
    """Seconds from the start, or since 1970 of an ISO time (UTC unless it says); None: neither.

    Example:
        >>> parse_moment("1970-01-01T00:01:00Z", absolute=True), parse_moment("2", absolute=False)
        (60.0, 2.0)
    """
    try:
        if absolute:
            return utc_time(text).timestamp()
        seconds = 0.0
        for part in text.split(":") if _CLOCK.fullmatch(text) else [text]:
            seconds = 60 * seconds + float(part)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
