"""What a run counts while it goes on."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.spec import Prediction
from edgecnn.device.machine.percentiles import Percentiles

__all__ = ["Counters", "Status"]


# Percentiles are of so many frames at most, the newest: memory stays the same for days.
_WINDOW = 10_000


@dataclass(frozen=True)
class Status:
    """Where a run stands: what the panel shows. `prediction` and `truth` are the last frame's."""

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
    """The running counts of a run."""

    def __init__(self) -> None:
        self.frames = self.correct = self.labelled = 0
        self.ages: deque[float] = deque(maxlen=_WINDOW)
        self.invokes: deque[float] = deque(maxlen=_WINDOW)
        self._start = time.monotonic()

    def add(self, age_ms: float, invoke_ms: float, *, correct: bool | None) -> None:
        """Count a frame; `correct` is None when its truth is unknown."""
        self.frames += 1
        self.ages.append(age_ms)
        self.invokes.append(invoke_ms)
        if correct is not None:
            self.labelled += 1
            self.correct += correct

    @property
    def live(self) -> Tally:
        return Tally(self.correct, self.labelled)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def fps(self) -> float:
        return self.frames / max(self.elapsed_s, 1e-9)
