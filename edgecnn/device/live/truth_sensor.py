"""`--truth sensor:FILE.csv`: another program appends what it measures while the run goes on.

Frames are matched by their capture time. A frame waits for its label until the sensor's file has
gone past it, or for two seconds. A row that comes later still changes the frames that it is
about, and a guard band around each change stays unlabelled.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.guard_band import GuardBand
from edgecnn.device.live.sensor_log import SensorLog
from edgecnn.device.live.truth_queue import TruthQueue
from edgecnn.errors import TruthError
from edgecnn.session.events import TruthEvent
from edgecnn.session.timeline import doubt_clock, missed
from edgecnn.words import number

__all__ = ["SensorTruth", "load_sensor"]

_POLL_S = 0.1
_AHEAD_S = 60.0
_PATIENCE_S = 2.0
_REMEMBERED = _MOST_ROWS = 10_000


class _Waiting(NamedTuple):
    frame: int
    moment: float
    label: str | None = None


class SensorTruth(TruthQueue):
    """Labels each frame when the sensor's file can say what held at its time.

    Args:
        log: Opened already.
        absolute: Whether it has times of the day.
        guard: Leaves frames near a change unlabelled.
        warn: Told of rows that are wrong or too late.
    """

    def __init__(
        self, log: SensorLog, guard: GuardBand, warn: Callable[[str], None], *, absolute: bool
    ) -> None:
        super().__init__("sensor")
        self._log, self._guard, self._warn = log, guard, warn
        self._absolute = absolute
        self._undecided: deque[_Waiting] = deque()
        self._labelled: deque[_Waiting] = deque(maxlen=_REMEMBERED)
        self._now, self._first = float("-inf"), float("inf")
        self._is_closed = False
        self._poll_at = 0.0
        self._unreadable = self._doubted = self._is_ahead = False

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        moment = frame.captured_at.timestamp() if self._absolute else frame.seconds
        if moment is None:
            return
        self._undecided.append(_Waiting(frame.index, moment))
        self._now, self._first = max(self._now, moment), min(self._first, moment)
        if time.monotonic() >= self._poll_at:
            self._poll_at = time.monotonic() + _POLL_S
            self._read_on()
        self._decide(max(self._log.newest - self._guard.width_s, self._now - _PATIENCE_S))

    def close(self) -> None:
        """Label the frames that still wait with what the file says now."""
        if not self._is_closed:
            self._read_on(is_over=True)
            self._decide(float("inf"))
            oldest, by = self._log.oldest, "clock" if self._absolute else "seconds"
            if self._labelled and self._now < oldest < float("inf") and not self._doubted:
                rows, frames = (oldest, self._log.newest), (self._first, self._now)
                self._warn(missed(self._log.path, by, rows, frames))
        self._is_closed = True

    def _see_clocks(self, *, has_new: bool) -> None:
        """Look whether the file and the frames go by one clock, and say once that they don't.

        Where a row is of a time that is still to come, nobody knows what the others say.
        """
        newest = self._log.newest
        self._is_ahead = newest > self._now + _AHEAD_S
        if self._doubted or not (self._is_ahead or has_new):
            return
        said = doubt_clock(self._log.path, newest, self._now)
        if said:
            self._doubted = True
            self._warn(said)

    def _read_on(self, *, is_over: bool = False) -> None:
        try:
            earliest = self._log.read_on(lambda error: self._warn(str(error)), is_over=is_over)
        except TruthError as error:  # the run goes on; the file may come back
            if not self._unreadable:
                self._warn(str(error))
            self._unreadable = True
            return
        self._unreadable = False
        if self._absolute and not is_over:  # since the last frame it may have gone on for long
            self._see_clocks(has_new=earliest is not None)
        if earliest is not None:
            self._change_from(earliest - self._guard.width_s)
        if len(self._log) > _MOST_ROWS:  # a sensor may write for months
            held = (one.moment for some in (self._labelled, self._undecided) for one in some)
            self._log.forget(min(held, default=float("-inf")) - self._guard.width_s)

    def _decide(self, until: float) -> None:
        """Label the frames that waited and were captured before a time."""
        while self._undecided and self._undecided[0].moment < until:
            one = self._undecided.popleft()
            label = None if self._is_ahead else self._guard.label(self._log, one.moment)
            self._labelled.append(one._replace(label=label))
            if label is not None:
                self.put(TruthEvent(one.frame, label, self.via, why="all"))

    def _change_from(self, start: float) -> None:
        """A row came late: label the frames of its time anew; "can't tell" takes a label back."""
        for at in range(len(self._labelled) - 1, -1, -1):
            one = self._labelled[at]
            if one.moment < start:
                return
            width_s = self._guard.width_s
            near = self._log.is_near_change(one.moment, width_s)
            label = None if near or self._is_ahead else self._log.find(one.moment)
            if label != one.label:
                self._labelled[at] = one._replace(label=label)
                self.put(TruthEvent(one.frame, label, self.via, why="all"))


def load_sensor(path: Path, source: Source, labels: Sequence[str], guard: GuardBand) -> SensorTruth:
    """Open the file that another program appends to.

    Raises:
        TruthError: It is absent, has wrong rows alone by now, or images are the source.
    """
    if isinstance(source, ImageSource):
        raise TruthError(f"sensor {path}: images have no time; give a camera, stream or video")
    if not path.is_file():
        raise TruthError(
            f"sensor file {str(path)!r} does not exist; start the program that writes it first"
        )
    log = SensorLog(path, labels, absolute=source.live)
    wrong: list[TruthError] = []
    log.read_on(wrong.append)
    if wrong and not log.has_right:
        raise wrong[0]
    if wrong:  # a row of months ago must not keep a service from starting again
        more = f"; {number(len(wrong) - 1, 'more fault')} in it" if len(wrong) > 1 else ""
        source.warn(f"nothing is known from there to the next row: {wrong[0]}{more}")
    return SensorTruth(log, guard, source.warn, absolute=source.live)
