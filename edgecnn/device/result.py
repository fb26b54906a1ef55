"""What a run counts while it goes on, and what it returns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.device.twin import TwinReport
from edgecnn.records import Json, Prediction, Tally

__all__ = ["Counters", "Percentiles", "RunResult", "Status", "gap_points"]

# Percentiles are of so many frames at most, the newest: memory stays the same for days.
_WINDOW = 10_000


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile in milliseconds; 0 when there are no values."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        array = np.fromiter(values, np.float64)
        return cls(*map(float, np.percentile(array, (50, 95)))) if array.size else cls(0.0, 0.0)

    def to_json(self) -> Json:
        return {"p50": round(self.p50, 4), "p95": round(self.p95, 4)}

    def text(self) -> str:
        return f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms"


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


@dataclass(frozen=True)
class RunResult:
    """How a run went.

    Args:
        gap_points: 100 x (lab - live accuracy), above 0 when the field is worse; None when
            there was no truth.
        age_ms: From capture to answer, of the last 10,000 frames.
        unlabelled: Frames without truth, which `live` does not count.
        ended: "source ended", "max frames", "interrupted" or "camera lost".
        fallback: Why the device is not the one asked for, or None.
        twin: On an Edge TPU, how often the uncompiled file on the CPU said the same; else None.
        warnings: What went wrong without ending the run (broken images, reconnects).
    """

    frames: int
    dropped: int
    lab: Tally
    live: Tally
    gap_points: float | None
    fps: float
    age_ms: Percentiles
    invoke_ms: Percentiles
    unlabelled: int
    artifact: str
    device: str
    ended: str
    session: Path | None = None
    fallback: str | None = None
    warnings: tuple[str, ...] = ()
    twin: TwinReport | None = None

    def to_json(self) -> Json:
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "lab": self.lab.to_json(),
            "live": self.live.to_json(),
            "gap_points": self.gap_points,
            "fps": round(self.fps, 3),
            "age_ms": self.age_ms.to_json(),
            "invoke_ms": self.invoke_ms.to_json(),
            "unlabelled": self.unlabelled,
            "artifact": self.artifact,
            "device": self.device,
            "ended": self.ended,
            "session": None if self.session is None else str(self.session),
            "fallback": self.fallback,
            "warnings": list(self.warnings),
            "twin": None if self.twin is None else self.twin.to_json(),
        }

    def to_text(self) -> str:
        gap = "" if self.gap_points is None else f"gap       {self.gap_points:+.1f} points\n"
        notes = [n for n in (self.fallback, *self.warnings) if n]
        shown = [f"warning   {note}\n" for note in notes[:10]]
        if len(notes) > 10:
            shown.append(f"warning   and {len(notes) - 10} more\n")
        twin = "" if self.twin is None else f"twin      {self.twin.to_text()}\n"
        session = "" if self.session is None else f"session   {self.session}\n"
        return (
            f"lab       {self.lab.text()}\n"
            f"live      {self.live.text()}\n"
            f"{gap}"
            f"frames    {self.frames} ({self.dropped} dropped, {self.unlabelled} without truth), "
            f"{self.fps:.1f} a second; {self.ended}\n"
            f"age       {self.age_ms.text()}\n"
            f"invoke    {self.invoke_ms.text()} ({self.artifact} on {self.device})\n"
            f"{twin}"
            f"{session}{''.join(shown)}"
        ).rstrip("\n")


def gap_points(lab: Tally, live: Tally) -> float | None:
    """100 x (lab accuracy - live accuracy), or None when one is unknown."""
    if lab.accuracy is None or live.accuracy is None:
        return None
    return 100 * (lab.accuracy - live.accuracy)


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
