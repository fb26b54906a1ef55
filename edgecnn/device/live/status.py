"""What a run measures while it goes on."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.spec import Prediction
from edgecnn.device.machine.percentiles import Percentiles

__all__ = ["Counters", "Status"]


# Percentiles are those of the newest frames, at most this many: memory stays the same for days.
_WINDOW = 10_000


@dataclass(frozen=True)
class Status:
    """The figures that the panel shows. `prediction` and `truth` are the last frame's."""

    lab: Tally
    live: Tally
    gap_points: float | None
    frames: int
    dropped: int
    elapsed_s: float
    fps: float
    age_ms: Percentiles
    invoke_ms: Percentiles
    prediction: Prediction | None = None
    truth: str | None = None
    warning: str | None = None


class Counters:
    """The number of frames of a run, and their times."""

    def __init__(self) -> None:
        self.frames = 0
        self.ages: deque[float] = deque(maxlen=_WINDOW)
        self.invokes: deque[float] = deque(maxlen=_WINDOW)
        self._start = time.monotonic()

    def add(self, age_ms: float, invoke_ms: float) -> None:
        """Count a frame."""
        self.frames += 1
        self.ages.append(age_ms)
        self.invokes.append(invoke_ms)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def fps(self) -> float:
        return self.frames / max(self.elapsed_s, 1e-9)
