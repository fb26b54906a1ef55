"""When a frame was captured, by the day and from the start: most events leave the first out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgecnn.session.events import FrameEvent

__all__ = ["SourceClock", "TimeOfDay"]

_MILLISECOND, _DAY_MS = timedelta(milliseconds=1), 86_400_000


@dataclass
class TimeOfDay:
    """Tells the time of day of events that leave it out, from the last that said it."""

    _last: tuple[int, datetime] | None = None
    # A day in milliseconds since the start, by the last event that said the time.
    _day: tuple[int, int, int] = (0, 0, 0)

    def day(self, event: FrameEvent) -> int:
        """The day of an event in days since year 1, UTC; 0 where unknown."""
        begin, end, day = self._day
        if event.at is None and event.t_ms is not None and begin <= event.t_ms < end:
            return day
        at = self.at(event)
        if at is None:
            return 0
        if event.t_ms is not None:
            midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
            begin = event.t_ms - (at - midnight) // _MILLISECOND
            self._day = begin, begin + _DAY_MS, at.toordinal()
        return at.toordinal()

    def at(self, event: FrameEvent) -> datetime | None:
        if event.t_ms is not None and event.at is not None:
            self._last = (event.t_ms, event.at)
        if event.at is not None or event.t_ms is None or self._last is None:
            return event.at
        t_ms, at = self._last
        return at + timedelta(milliseconds=event.t_ms - t_ms)


@dataclass
class SourceClock:
    """Tells how long after the first frame of a run the frame of an event was captured.

    start_ms  when the first frame was, where the run began in an earlier session; else the
              first event says it
    """

    start_ms: int | None = None
    _start_at: datetime | None = None

    def seconds(self, event: FrameEvent) -> float | None:
        """As `Frame.seconds` of the run; None where the event has no time."""
        self.start_ms = event.t_ms if self.start_ms is None else self.start_ms
        self._start_at = event.at if self._start_at is None else self._start_at
        if event.seconds is not None:
            return event.seconds
        if event.t_ms is not None and self.start_ms is not None:
            return (event.t_ms - self.start_ms) / 1000
        if event.at is not None and self._start_at is not None:
            return (event.at - self._start_at).total_seconds()
        return None
