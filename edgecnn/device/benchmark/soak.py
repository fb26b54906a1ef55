"""`benchmark --soak`: the first minute against the steady state, under unbroken load.

A board that is fast for a minute may be hot and throttled after ten. This part runs in a process
of its own: `python -m edgecnn.device.benchmark.soak` reads {"bundle", "artifact", "device",
"threads", "runtime", "warmup", "warmup_seconds", "seconds"} and answers with what `Soak` holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from time import perf_counter

from edgecnn.device.benchmark.worker import open_frame, warm_up
from edgecnn.device.machine.health import read_state, throttle_flags
from edgecnn.device.machine.isolated import answer
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.errors import EdgecnnError
from edgecnn.records import Json

__all__ = ["Soak", "SteadyWindow", "soak"]

_MINUTE = 60.0
_SAMPLES = 120  # of clock and temperature over the whole run, but not more often than every second


@dataclass(frozen=True)
class SteadyWindow:
    """Classifications a second, and {"p50", "p95"} of the ms of each, in one window."""

    fps: float
    total_ms: Json


@dataclass(frozen=True)
class Soak:
    """One artifact under unbroken load.

    `first` and `last` are the first and the last `window_s` seconds: a minute, or half of a
    shorter run. `samples` are {"t", "temperature_c", "throttled", "clock_mhz"} from start to end;
    `flags` all throttle flags that were raised meanwhile.
    """

    file: str
    runtime: str
    seconds: float
    frames: int
    window_s: float
    first: SteadyWindow
    last: SteadyWindow
    flags: list[str] = field(default_factory=list)
    samples: list[Json] = field(default_factory=list)

    @property
    def change(self) -> float:
        """Of the speed from the first to the last window, as a fraction: -0.2 is a fifth less."""
        return self.last.fps / self.first.fps - 1

    def to_json(self) -> Json:
        return {**asdict(self), "change": round(self.change, 4)}

    @classmethod
    def from_json(cls, data: Json) -> Soak:
        """What the process answered, less `change`."""
        known = {k: v for k, v in data.items() if k != "change"}
        return cls(
            **{
                **known,
                "first": SteadyWindow(**data["first"]),
                "last": SteadyWindow(**data["last"]),
            }
        )

    def to_text(self) -> str:
        """Two lines: the speeds, and the board's state."""
        speeds = (
            f"{self.file}, {self.seconds:g} s without a pause: {self.first.fps:.1f} a second in "
            f"the first {self.window_s:g} s, {self.last.fps:.1f} in the last "
            f"({100 * self.change:+.1f} %)"
        )
        state = [self._course("temperature_c", "°C"), self._course("clock_mhz", "MHz")]
        state.append("throttling: " + (", ".join(self.flags) or self._no_flags()))
        return f"{speeds}\n  {'; '.join(filter(None, state))}"

    def _course(self, key: str, unit: str) -> str:
        values = [sample[key] for sample in self.samples if sample[key] is not None]
        if not values:
            return ""
        return f"{values[0]:.0f} to {values[-1]:.0f} {unit} ({min(values):.0f}-{max(values):.0f})"

    def _no_flags(self) -> str:
        told = any(sample["throttled"] is not None for sample in self.samples)
        return "none seen" if told else "this machine does not tell"


def soak(request: Json, clock: Callable[[], float] = perf_counter) -> Soak:
    """Classify one frame without a pause for `request["seconds"]`, the warm-up not counted."""
    classifier, frame = open_frame(request)
    warm_up(classifier, frame, request)
    seconds = float(request["seconds"])
    every = max(1.0, seconds / _SAMPLES)
    window = min(_MINUTE, seconds / 2)
    first: list[float] = []
    last: list[float] = []
    samples: list[Json] = []
    frames, due, start = 0, 0.0, clock()
    while (now := clock() - start) < seconds:
        if now >= due:
            samples.append({"t": round(now, 1), **read_state()})
            due = now + every
        timing = classifier.timed(frame)[1]
        total_ms = timing.preprocess_ms + timing.invoke_ms
        frames += 1
        if now < window:
            first.append(total_ms)
        if now >= seconds - window:
            last.append(total_ms)
    samples.append({"t": round(seconds, 1), **read_state()})
    return Soak(
        file=classifier.artifact.file,
        runtime=classifier.runtime.name,
        seconds=seconds,
        frames=frames,
        window_s=window,
        first=_window(first, window),
        last=_window(last, window),
        flags=_flags(samples),
        samples=samples,
    )


def _window(total_ms: list[float], window_s: float) -> SteadyWindow:
    return SteadyWindow(round(len(total_ms) / window_s, 2), Percentiles.of(total_ms).to_json())


def _flags(samples: list[Json]) -> list[str]:
    """Each flag once. What was "since boot" before the start is no news."""
    before = set(throttle_flags(samples[0]["throttled"]))
    found = [flag for sample in samples for flag in throttle_flags(sample["throttled"])]
    news = (f for f in found if f.endswith(" now") or f not in before)
    return list(dict.fromkeys(news))


if __name__ == "__main__":
    try:
        answer(soak(json.load(sys.stdin)).to_json())
    except EdgecnnError as error:
        answer({"error": str(error)})
