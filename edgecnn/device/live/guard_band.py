"""The guard band of truth by time: which frames are too near a change of the label."""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from edgecnn.device.capture.frame import Frame
from edgecnn.session.timeline import guard_width

__all__ = ["GuardBand", "LabelLine"]

# The width follows the newest frames, and is computed anew every so many: it must cost nothing.
_NEWEST, _EVERY = 500, 20


class LabelLine(Protocol):
    """Labels along a line of times: see `timeline.Timeline`."""

    def find(self, key: float) -> str | None: ...

    def is_near_change(self, key: float, width: float) -> bool: ...


class GuardBand:
    """Measures how old frames are and how far apart, and counts those that it leaves unlabelled.

    `width_s` is the age of a frame (95th percentile) plus one frame: see `timeline.guard_width`.
    `is_needed` is set by whoever goes by time: else nothing is measured.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_needed = False
        self.width_s = 0.0
        self._ages_ms: deque[float] = deque(maxlen=_NEWEST)
        self._steps_s: deque[float] = deque(maxlen=_NEWEST)
        self._last_s: float | None = None
        self._seen = 0

    def observe(self, frame: Frame) -> None:
        """See a frame, right after its answer."""
        self._ages_ms.append((time.monotonic() - frame.captured) * 1000)
        moment_s = frame.captured if frame.seconds is None else frame.seconds
        if self._last_s is not None:
            self._steps_s.append(moment_s - self._last_s)
        self._last_s = moment_s
        if self._seen < _EVERY or self._seen % _EVERY == 0:
            self.width_s = guard_width(self._ages_ms, self._steps_s)
        self._seen += 1

    def label(self, line: LabelLine, moment: float) -> str | None:
        """The label of a moment; None, and counted, where it is near a change of the label."""
        label = line.find(moment)
        if label is None or not line.is_near_change(moment, self.width_s):
            return label
        self.count += 1
        return None
