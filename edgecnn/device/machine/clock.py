"""Notices that the machine's clock was set while a run goes on."""

from __future__ import annotations

from datetime import datetime

__all__ = ["ClockWatch"]

# The wall clock was set when it moved otherwise than the monotonic one by this much at once.
_JUMP_S = 2.0


class ClockWatch:
    """Compares the time of day with the clock that never jumps; `count` says how often it was set.

    Example:
        >>> watch, noon = ClockWatch(), datetime(2026, 5, 1, 12)
        >>> watch.see(noon, 7.0), watch.see(noon.replace(hour=11), 7.5)
        (None, 'the clock was set back by 3600 s')
    """

    def __init__(self) -> None:
        self.count = 0
        self._offset: float | None = None

    def see(self, wall: datetime, monotonic: float) -> str | None:
        """Compare one moment on both clocks; says what happened to the wall clock, if anything."""
        offset = wall.timestamp() - monotonic
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) < _JUMP_S:
            return None
        self.count += 1
        way = "forward" if offset > before else "back"
        return f"the clock was set {way} by {abs(offset - before):.0f} s"
