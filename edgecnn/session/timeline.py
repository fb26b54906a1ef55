"""Labels along a line of frame numbers or times, and what is doubtful about them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np

__all__ = [
    "Span",
    "Timeline",
    "doubt_clock",
    "doubt_frames",
    "doubt_names",
    "doubt_times",
    "guard_width",
    "missed",
]

_HOUR, _MINUTE = 3600.0, 60.0
# Hours that local times differ from UTC: nowhere by half an hour or one and a half.
_ZONES = [half / 2 for half in range(-28, 29) if abs(half) not in (0, 1, 3)]


@dataclass(frozen=True)
class Span:
    """start <= key < end: from one change of the label to the next."""

    start: float
    end: float
    label: str


class Timeline:
    """Which label holds when.

    Args:
        spans: In order; none overlaps another.

    Example:
        >>> line = Timeline([Span(0, 5, "cat"), Span(5, 9, "dog")])
        >>> line.find(5), line.find(9), line.is_near_change(4.8, 0.5), line.is_near_change(2, 0.5)
        ('dog', None, True, False)
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = tuple(spans)
        self._starts = [span.start for span in spans]
        edges = {edge for span in spans for edge in (span.start, span.end)}
        same = {b.start for a, b in pairwise(spans) if a.end == b.start and a.label == b.label}
        # Nothing came before the start of the source, so nothing changes there.
        self._changes = sorted(edge for edge in edges - same if edge > 0)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Where it begins and ends; None where it is empty."""
        return (self._starts[0], max(s.end for s in self._spans)) if self._spans else None

    def find(self, key: float) -> str | None:
        """The label that holds at a key, or None."""
        at = bisect_right(self._starts, key) - 1
        return self._spans[at].label if at >= 0 and key < self._spans[at].end else None

    def is_near_change(self, key: float, width: float) -> bool:
        """Whether the label changes less than `width` before or after a key."""
        at = bisect_left(self._changes, key)
        return any(abs(key - change) < width for change in self._changes[max(0, at - 1) : at + 1])


def guard_width(ages_ms: Iterable[float], steps_s: Iterable[float]) -> float:
    """How far from a change of the label a frame is doubtful, in seconds.

    The age of a frame (95th percentile) plus one frame: a truth by time can't say which of the
    frames within that shows which label.

    Args:
        ages_ms: From capture to answer.
        steps_s: From each frame to the next.
    """
    ages, steps = (np.fromiter(values, np.float64) for values in (ages_ms, steps_s))
    age_ms = float(np.percentile(ages, 95)) if len(ages) else 0.0
    return age_ms / 1000 + (float(np.median(steps)) if len(steps) else 0.0)


def doubt_frames(
    path: Path,
    rows: Sequence[tuple[int, Span]],
    length: int | None,
    most: int | None = None,
    *,
    is_over: bool = False,
    step: int = 1,
) -> list[str]:
    """Say which rows begin after the last frame, and ask whether the file counts from 1.

    It does where no row is frame 0, and its last is one past the end.

    Args:
        rows: Each row's line in the file, and what it says.
        length: How many frames the recording has; None where nobody knows.
        most: How many of them are read; None for all.
        is_over: The frames are those of a session, whose run may have ended early.
        step: From one of them to the next. The recording may go on for less than that after the
            last, so that its own last frame is not known.
    """
    first = min(int(span.start) for _, span in rows)
    last = max(int(span.end) - 1 for _, span in rows)
    if step == 1 and first >= 1 and last in (length, most):
        how = "subtract 1 from its frames" if is_over else "`--truth-offset -1`"
        return [
            f"{path} has no row for frame 0, and its last row is frame {last} of a recording whose "
            f"last frame is {last - 1}: does it count from 1? {how}"
        ]
    late = [line for line, span in rows if length is not None and span.start >= length + step - 1]
    if length is None or not late:
        return []
    return [
        f"{path} line {late[0]}: {len(late)} of its {len(rows)} rows begin after frame "
        f"{length - 1}, the last of the {'session' if is_over else 'recording'}: is it the truth "
        f"of another recording{', or did the run end early' if is_over else ''}?"
    ]


def doubt_times(path: Path, rows: Sequence[tuple[int, Span]], seconds: float | None) -> list[str]:
    """Say which rows begin after the recording: their times may be milliseconds or frames.

    Args:
        rows: Each row's line in the file, and what it says.
        seconds: How long the recording lasts; None where nobody knows.
    """
    late = [line for line, span in rows if seconds is not None and span.start > seconds + 1]
    if not late:
        return []
    return [
        f"{path} line {late[0]}: {len(late)} of its {len(rows)} rows begin after the end of the "
        f"recording, which lasts {seconds:.1f} s: are its times seconds?"
    ]


def doubt_names(path: Path, absent: Sequence[str], total: int) -> list[str]:
    """Say which names are of no image of the source, where these are most."""
    if 2 * len(absent) <= total:
        return []
    return [
        f"{path}: {len(absent)} of its {total} names are in no place of the source (the first: "
        f"{absent[0]!r})"
    ]


def doubt_clock(path: Path, newest: float, now: float) -> str:
    """Say that a row which was written just now has a time of another zone or clock.

    A row may come late and be right: it is doubted only where another zone explains it.

    Args:
        newest: The time of the newest row, in seconds since 1970.
        now: When the newest frame was captured.

    Returns:
        What is doubtful; empty where nothing is.
    """
    if abs(newest - now) <= _MINUTE:
        return ""
    hint = _zone_hint((newest - _MINUTE, newest + _MINUTE), (now, now))
    if newest < now and not hint:
        return ""
    return (
        f"{path}: its newest row is of {_utc(newest)}, and the frames are of {_utc(now)}"
        f"{hint or '; do their clocks agree?'}"
    )


def missed(
    path: Path, by: str, rows: tuple[float, float] | None, frames: tuple[float, float] | None
) -> str:
    """Say that a file of labels is about no frame, and what it and the frames go by.

    Args:
        by: See `truth_csv.CsvLabels`.
        rows: From where to where the file goes, the end not included; None of names.
        frames: The first and the last frame, by the same; None where they have no time.
    """
    none = f"{path} is about no frame that was answered"
    if by == "name" or rows is None:
        return f"{none}: none of the images that were answered has one of its names"
    if frames is None:
        return f"{none}: it goes by time, and the frames have none; give columns frame,label"
    if by == "frame":
        return (
            f"{none}: its rows go from frame {rows[0]:.0f} to {rows[1] - 1:.0f}, and the frames "
            f"from {frames[0]:.0f} to {frames[1]:.0f}; does it count otherwise, or is it of "
            "another recording?"
        )
    if by == "seconds":
        return (
            f"{none}: its rows go from {rows[0]:.1f} to {rows[1]:.1f} s, and the frames from "
            f"{frames[0]:.1f} to {frames[1]:.1f} s, from the start of the source"
        )
    (start, end), (first, last) = ([_utc(moment) for moment in pair] for pair in (rows, frames))
    return f"{none}: its times go from {start} to {end}, and the frames from {first} to {last}" + (
        _zone_hint(rows, frames)
    )


def _utc(moment: float) -> str:
    try:
        found = datetime.fromtimestamp(moment, timezone.utc)
    except (OverflowError, ValueError, OSError):  # beyond what the platform's calendar holds
        return f"{moment:.0f} s after 1970"
    return f"{found:%Y-%m-%d %H:%M:%S} UTC"


def _zone_hint(rows: tuple[float, float], frames: tuple[float, float]) -> str:
    """Ask for local times where another zone would make the two overlap."""
    fits = [
        hours
        for hours in _ZONES
        if rows[0] - hours * _HOUR <= frames[1] and frames[0] <= rows[1] - hours * _HOUR
    ]
    if not fits:
        return ""
    hours = min(fits, key=abs)
    zone = f"{'-' if hours < 0 else '+'}{int(abs(hours)):02d}:{'30' if hours % 1 else '00'}"
    return f"; they fit if they are times of UTC{zone}: write the zone behind each, as 12:00{zone}"
