"""`benchmark --soak`: compare the first minute with the steady state under constant load.

It runs in its own process: `python -m edgecnn.device.benchmark.soak` reads the request of
`worker.py` without "repeats" and answers with a `Soak` as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from edgecnn.device.benchmark.worker import open_frame, warm_up
from edgecnn.device.machine.health import read_state, throttle_flags
from edgecnn.device.machine.isolated import serve
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.records import Json, Record

__all__ = ["Soak", "soak"]

_MINUTE = 60.0
_SAMPLES = 120  # samples of clock and temperature in the whole run, at most one a second


@dataclass(frozen=True)
class SteadyWindow(Record):
    """Speed in one time window: classifications a second, and {"p50", "p95"} of their ms."""

    fps: float
    total_ms: Json


@dataclass(frozen=True)
class Soak(Record):
    """The speed of one artifact under constant load.

    `first` and `last` are the first and the last `window_s` seconds: a minute, or half of a
    shorter run. `samples` are {"t", "temperature_c", "throttled", "clock_mhz"} from start to end;
    `flags` are all throttle flags raised during the run.
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
        """Change of speed from the first to the last window: -0.2 is a fifth slower."""
        return self.last.fps / self.first.fps - 1

    def to_json(self) -> Json:
        return {**super().to_json(), "change": round(self.change, 4)}

    def to_text(self) -> str:
        """Write two lines: the speeds, and the board's state."""
        speeds = (
            f"{self.file}, {self.seconds:g} s without a pause: {self.first.fps:.1f} a second in "
            f"the first {self.window_s:g} s, {self.last.fps:.1f} in the last "
            f"({100 * self.change:+.1f} %)"
        )
        state = [self._course("temperature_c", "°C"), self._course("clock_mhz", "MHz")]
        known = any(sample["throttled"] is not None for sample in self.samples)
        none = "none seen" if known else "unknown on this machine"
        state.append("throttling: " + (", ".join(self.flags) or none))
        return f"{speeds}\n  {'; '.join(filter(None, state))}"

    def _course(self, key: str, unit: str) -> str:
        values = [sample[key] for sample in self.samples if sample[key] is not None]
        if not values:
            return ""
        return f"{values[0]:.0f} to {values[-1]:.0f} {unit} ({min(values):.0f}-{max(values):.0f})"


def soak(request: Json, clock: Callable[[], float] = perf_counter) -> Soak:
    """Classify one frame again and again for `request["seconds"]`, after a warm-up."""
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
    """All new flags, each once; "since boot" flags from before the start don't count."""
    before = set(throttle_flags(samples[0]["throttled"]))
    found = [flag for sample in samples for flag in throttle_flags(sample["throttled"])]
    news = (f for f in found if f.endswith(" now") or f not in before)
    return list(dict.fromkeys(news))


if __name__ == "__main__":
    serve(lambda request: soak(request).to_json())
