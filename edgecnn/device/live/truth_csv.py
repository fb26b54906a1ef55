"""The true labels of frames, read from a CSV file.

A truth CSV has a header and one of these column sets; other columns are ignored:

    frame,label          one frame, by its position in the source, from 0
    first,last,label     frames first to last, both included
    start,end,label      start <= time < end, in seconds from the start of the source, or (live
                         sources) ISO 8601 in UTC
    name,label           an image by its path below the source folder, or by its file name

Frames without a row have no truth and are not counted.
"""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.errors import TruthError, listed

__all__ = ["labels_from_csv"]

_FORMS: tuple[tuple[str, ...], ...] = (
    ("frame",),
    ("first", "last"),
    ("start", "end"),
    ("name",),
)
_EXPECTED = "frame,label or first,last,label or start,end,label or name,label"


@dataclass(frozen=True)
class _Row:
    """A row of a truth CSV: its line number, the key columns as text, and the label."""

    line: int
    keys: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class _Span:
    """start <= key < end."""

    start: float
    end: float
    label: str
    line: int


def labels_from_csv(
    path: Path, source: Source, labels: Sequence[str]
) -> Callable[[Frame], str | None]:
    """What a truth CSV says of each frame of a source.

    Raises:
        TruthError: A label that the bundle lacks, rows that contradict each other or are
            malformed (with the line number), or a form that this source can't be asked by.
    """
    form, rows = _read_rows(path, labels)
    readers = {"frame": _by_frames, "first": _by_frames, "start": _by_time, "name": _by_name}
    return readers[form](path, rows, source)


def _read_rows(path: Path, labels: Sequence[str]) -> tuple[str, list[_Row]]:
    """The form (its first key column) and the rows of a truth CSV."""
    text = _read_text(path)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [cell.strip().lower() for cell in next(lines, [])]
        form = _find_form(path, header)
        places = [header.index(column) for column in (*form, "label")]
        rows = []
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise TruthError(
                    f"{path} line {lines.line_num}: {len(cells)} cells, expected {len(header)} "
                    f"({','.join(header)})"
                )
            *keys, label = (cells[place].strip() for place in places)
            if label not in labels:
                raise TruthError(
                    f"{path} line {lines.line_num}: label {label!r} is not in the bundle; "
                    f"expected {listed(labels)}"
                )
            rows.append(_Row(lines.line_num, tuple(keys), label))
    except csv.Error as error:
        raise TruthError(f"{path} line {lines.line_num}: not a CSV file ({error})") from error
    if not rows:
        raise TruthError(f"{path} has a header and no rows; expected rows of {','.join(header)}")
    return form[0], rows


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise TruthError(
            f"truth {str(path)!r} does not exist; expected none, folder or a CSV file"
        ) from error
    except OSError as error:
        raise TruthError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is not UTF-8 text; expected a CSV file of {_EXPECTED}") from error
    if not text.strip():
        raise TruthError(f"{path} is empty; expected a CSV file of {_EXPECTED}")
    return text


def _find_form(path: Path, header: list[str]) -> tuple[str, ...]:
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise TruthError(f"{path} line 1: column {twice[0]!r} appears twice")
    for form in _FORMS:
        if {*form, "label"} <= set(header):
            return form
    raise TruthError(f"{path} line 1: columns {','.join(header)[:100]!r}, expected {_EXPECTED}")


def _by_frames(path: Path, rows: list[_Row], _: Source) -> Callable[[Frame], str | None]:
    spans = []
    for row in rows:
        first, last = _whole(path, row, row.keys[0]), _whole(path, row, row.keys[-1])
        if last < first:
            raise TruthError(f"{path} line {row.line}: frames {first} to {last} run backwards")
        spans.append(_Span(first, last + 1, row.label, row.line))
    find = _lookup(path, spans)
    return lambda frame: find(frame.index)


def _by_time(path: Path, rows: list[_Row], source: Source) -> Callable[[Frame], str | None]:
    absolute = not _is_number(rows[0].keys[0])
    if absolute and not source.live:
        raise TruthError(
            f"{path} line {rows[0].line}: a time of day, but this source is a recording; "
            "give seconds from its start"
        )
    if isinstance(source, ImageSource):
        raise TruthError(f"{path}: images have no time; expected columns frame,label or name,label")
    spans = []
    for row in rows:
        start, end = (_moment(path, row, text, absolute=absolute) for text in row.keys)
        if end <= start:
            raise TruthError(
                f"{path} line {row.line}: {row.keys[0]} to {row.keys[1]} is empty or runs backwards"
            )
        spans.append(_Span(start, end, row.label, row.line))
    find = _lookup(path, spans)
    if absolute:
        return lambda frame: find(frame.captured_at.timestamp())
    return lambda frame: None if frame.seconds is None else find(frame.seconds)


def _by_name(path: Path, rows: list[_Row], source: Source) -> Callable[[Frame], str | None]:
    if not isinstance(source, ImageSource):
        raise TruthError(f"{path}: names fit an image folder only; expected frames or times")
    table = _table(path, rows, [row.keys[0].replace("\\", "/") for row in rows])
    shares = Counter(PurePosixPath(name).name for name in source.names)
    found = {}
    for name in source.names:
        base = PurePosixPath(name).name
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
            f"{rows[0].keys[0]!r}; the source's first: {source.names[0]!r})"
        )
    return lambda frame: found.get(frame.name or "")


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


def _lookup(path: Path, spans: list[_Span]) -> Callable[[float], str | None]:
    """Which span holds a key; spans that overlap with the same label are joined."""
    joined: list[_Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        before = joined[-1] if joined else None
        if before is None or span.start >= before.end:
            joined.append(span)
        elif span.label == before.label:
            joined[-1] = _Span(before.start, max(before.end, span.end), span.label, before.line)
        else:
            late, early = max(span.line, before.line), min(span.line, before.line)
            raise TruthError(
                f"{path} line {late}: overlaps line {early}, and they disagree "
                f"({before.label!r}, {span.label!r})"
            )
    starts = [span.start for span in joined]

    def find(key: float) -> str | None:
        at = bisect_right(starts, key) - 1
        return joined[at].label if at >= 0 and key < joined[at].end else None

    return find


def _whole(path: Path, row: _Row, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise TruthError(f"{path} line {row.line}: {text!r}, expected a frame number from 0")
    return int(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _moment(path: Path, row: _Row, text: str, *, absolute: bool) -> float:
    """Seconds from the start, or seconds since 1970 of an ISO time (UTC unless it says)."""
    try:
        if absolute:  # Python 3.10 does not read the Z
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "zZ" else text)
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
            return zoned.timestamp()
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        kind = "an ISO 8601 time" if absolute else "seconds from the start of the source"
        raise TruthError(f"{path} line {row.line}: {text!r}, expected {kind}")
    return seconds
