"""The result of a benchmark, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.tally import Tally
from edgecnn.device.benchmark.pareto import Point, front
from edgecnn.device.benchmark.soak import Soak
from edgecnn.device.machine.health import throttle_flags
from edgecnn.records import Json, Record, Skipped, json_as
from edgecnn.render.table import table

__all__ = ["Benchmark", "BenchmarkRow"]

_NOTE = "Measured on this machine; other machines may be faster or slower."


@dataclass(frozen=True)
class BenchmarkRow(Record):
    """The measurements of one artifact.

    invoke_ms, preprocess_ms, total_ms  {"p50", "p95"} in ms: inside the interpreter, before it,
                   and from a frame of `frame_wh` to scores
    rss_mb         peak memory of a process that runs nothing else
    lab, lab_agreement  from the card: accuracy, and agreement with the Keras model, on the lab test
    clock_mhz      the processor's clock at the end of the measurement
    accuracy, agreement  on the labelled images given here: accuracy, and the share of images with
                   the same answer as model_float32.tflite; None without images
    twin           for a file on an Edge TPU: its agreement with the uncompiled file on the CPU
                   (twin.TwinReport)
    """

    file: str
    kind: str
    bytes: int
    runtime: str
    frame_wh: list[int]
    repeats: int
    threads: int
    invoke_ms: Json
    preprocess_ms: Json
    total_ms: Json
    rss_mb: float
    lab: Tally
    lab_agreement: float
    clock_mhz: float | None = None
    accuracy: Tally | None = None
    agreement: float | None = None
    twin: Json | None = None

    @property
    def point(self) -> Point:
        """The point in the plot: accuracy on the images given here, else on the lab test."""
        return Point(self.file, self.total_ms["p50"], self.accuracy or self.lab, self.bytes)


@dataclass(frozen=True)
class Benchmark(Record):
    """The measurements of all artifacts.

    machine  the machine and its state after the measurements, with `before` for that before them
    skipped  (file, reason) of artifacts that can't run here
    soak     the steady state of one artifact, if requested
    """

    device: str
    machine: Json
    threads: int
    runtimes: dict[str, str]
    rows: tuple[BenchmarkRow, ...] = field(metadata=json_as("artifacts"))
    skipped: tuple[Skipped, ...]
    soak: Soak | None = None
    plot: str | None = None

    @property
    def points(self) -> list[Point]:
        """The artifacts as points of the plot."""
        return [row.point for row in self.rows]

    @property
    def judged(self) -> bool:
        """Whether labelled images were given."""
        return any(row.accuracy for row in self.rows)

    @property
    def title(self) -> str:
        """The machine and its state in one line."""
        return f"{self.device}, {self._state()}"

    def to_json(self) -> Json:
        best = [point.name for point in front(self.points)]
        return {**super().to_json(), "front": best, "note": _NOTE}

    def to_text(self) -> str:
        headers = ["artifact", "kB", "lab", *(["field", "95 %"] if self.judged else []), "as float"]
        headers += ["invoke", "p95", "total", "p95", "MB", "threads"]
        lines = [self.title, ""]
        lines += [table(headers, [_cells(row, self.judged) for row in self.rows]), ""]
        lines += [
            "times in ms, median and 95th percentile: invoke in the interpreter, total from frame "
            "to scores; MB: peak memory",
            f"no other artifact is both as fast and as accurate: {self._front()}",
        ]
        lines += [
            f"{row.file}: {row.twin['agreed']} of {row.twin['frames']} golden frames as "
            f"{row.twin['file']} on the CPU, largest difference {row.twin['max_steps']:g} steps"
            for row in self.rows
            if row.twin
        ]
        lines += [f"skipped {file}: {reason}" for file, reason in self.skipped]
        lines += [self.soak.to_text()] if self.soak else []
        lines += [f"plot: {self.plot}"] if self.plot else []
        return "\n".join([*lines, _NOTE])

    def _front(self) -> str:
        return ", ".join(point.name for point in front(self.points))

    def _state(self) -> str:
        """Threads, runtimes, clock, temperature and throttling, as far as known."""
        parts = [f"{self.threads} thread{'s' * (self.threads > 1)}"]
        parts += [f"{name} {number}" for name, number in self.runtimes.items()]
        if self.machine["clock_mhz"]:
            parts.append(f"{self.machine['clock_mhz']:.0f} MHz")
        before, after = self.machine["before"]["temperature_c"], self.machine["temperature_c"]
        if after is not None:
            parts.append(f"{after:.0f} °C" if before is None else f"{before:.0f} to {after:.0f} °C")
        flags = throttle_flags(self.machine["throttled"])
        if flags:
            parts.append(f"THROTTLED ({', '.join(flags)}): cool it, fix its power, measure again")
        elif self.machine["throttled"] is not None:
            parts.append("not throttled")
        return ", ".join(parts)


def _cells(row: BenchmarkRow, judged: bool) -> list[str]:
    same = row.agreement if judged else row.lab_agreement
    return [
        row.file,
        f"{row.bytes / 1000:.0f}",
        row.lab.percent,
        *([row.accuracy.percent, row.accuracy.range] if row.accuracy else [""] * (2 * judged)),
        "" if same is None else f"{100 * same:.1f} %",
        f"{row.invoke_ms['p50']:.2f}",
        f"{row.invoke_ms['p95']:.2f}",
        f"{row.total_ms['p50']:.2f}",
        f"{row.total_ms['p95']:.2f}",
        f"{row.rss_mb:.0f}",
        str(row.threads),
    ]
