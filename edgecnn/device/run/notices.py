"""What is to say of a run while it goes on and at its end, for months."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edgecnn.device.log.log_thread import LogThread
from edgecnn.words import number

__all__ = ["Notices"]

_MOST_HELD = 500  # of the first ones, and of the newest


class Notices:
    """Says things once: into the log, and for the panel, the page and the result.

    `newest` is what was said last. However long the run, the first and the newest are held.

    Args:
        log: None where nothing is logged.
    """

    def __init__(self, log: LogThread | None) -> None:
        self._log = log
        self._first: list[str] = []
        self._later: deque[str] = deque(maxlen=_MOST_HELD)
        self._count = 0
        self._failures: Sequence[str] = ()
        self.newest: str | None = None

    def say(self, message: str) -> None:
        self._count += 1
        self.newest = message
        (self._first if len(self._first) < _MOST_HELD else self._later).append(message)
        if self._log is not None:
            self._log.health(message)

    def say_new(self, failures: Sequence[str]) -> None:
        """Say which of these failures were not there at the last call."""
        for failure in failures:
            if failure not in self._failures:
                self.say(failure)
        self._failures = failures

    @property
    def held(self) -> tuple[str, ...]:
        """What was said, in its order."""
        left_out = self._count - len(self._first) - len(self._later)
        more = "the log has all" if self._log is not None else "--log keeps all"
        between = (f"{number(left_out, 'warning')} left out here; {more}",) if left_out else ()
        return (*self._first, *between, *self._later)
