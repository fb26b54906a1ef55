"""The result of a benchmark, as JSON, as text and as a plot of accuracy against time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgecnn.accuracy.tally import Tally
from edgecnn.device.benchmark.soak import Soak
from edgecnn.device.machine.health import throttle_flags
from edgecnn.errors import MissingRuntimeError, OutputError
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_file_place
from edgecnn.records import Json, Record, Skipped, json_as
from edgecnn.render.next_lines import camera_source, next_lines
from edgecnn.render.table import table
from edgecnn.session.layout import new_session

__all__ = ["Benchmark", "BenchmarkRow", "check_plot", "draw"]

_SUFFIXES = (".png", ".svg", ".pdf")
# In the file's metadata, so that a later plot may take its place and a photograph never loses its.
_MARK = "edgecnn benchmark"
_NOTE = "Measured on this machine; other machines may be faster or slower."


@dataclass(frozen=True)
class BenchmarkRow(Record):
    """The measurements of one artifact.

    invoke_ms, preprocess_ms, total_ms  {"p50", "p95"} in ms: inside the interpreter, before it,
                   and from a frame of `frame_wh` to scores
    rss_mb         peak memory of a process that runs nothing else
    lab, lab_agreement  from the card: accuracy, and agreement with the network in float, on the lab
                   test
    clock_mhz      the processor's clock at the end of the measurement
    accuracy, agreement  on the labelled images given here: accuracy, and the share of images with
                   the same answer as model_float32.tflite; None without images. Both agreements
                   are None where the network in float is not known, as of an imported file
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
    lab_agreement: float | None
    clock_mhz: float | None = None
    accuracy: Tally | None = None
    agreement: float | None = None
    twin: Json | None = None

    @property
    def ms(self) -> float:
        """The median from frame to scores."""
        return float(self.total_ms["p50"])

    @property
    def shares(self) -> tuple[float, float, float]:
        """Low end, accuracy and high end, on the images given here, else on the lab test."""
        tally = self.accuracy or self.lab
        low, high = tally.interval
        return low, tally.accuracy or 0.0, high


@dataclass(frozen=True)
class Benchmark(Record):
    """The measurements of all artifacts.

    machine  the machine and its state after the measurements, with `before` for that before them
    skipped  (file, reason) of artifacts that can't run here
    soak     the steady state of one artifact, if requested
    notes    how the labelled folder was read, and what was passed over
    """

    device: str
    machine: Json
    threads: int
    runtimes: dict[str, str]
    rows: tuple[BenchmarkRow, ...] = field(metadata=json_as("artifacts"))
    skipped: tuple[Skipped, ...]
    bundle: Path = field(metadata=json_as(hidden=True))
    soak: Soak | None = None
    plot: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def front(self) -> list[BenchmarkRow]:
        """The artifacts that no other beats in speed and accuracy, fastest first.

        One beats another if it is better in one of them and not worse in the other.
        """

        def beats(a: BenchmarkRow, b: BenchmarkRow) -> bool:
            gain = a.shares[1] - b.shares[1]
            return a.ms <= b.ms and gain >= 0 and (a.ms < b.ms or gain > 0)

        kept = [b for b in self.rows if not any(beats(a, b) for a in self.rows)]
        return sorted(kept, key=lambda row: row.ms)

    @property
    def judged(self) -> bool:
        """Whether labelled images were given."""
        return any(row.accuracy for row in self.rows)

    @property
    def title(self) -> str:
        """The machine and its state in one line."""
        return f"{self.device}, {self._state()}"

    def to_json(self) -> Json:
        best = [row.file for row in self.front]
        return {**super().to_json(), "front": best, "note": _NOTE}

    def to_text(self) -> str:
        headers = ["artifact", "kB", "lab", "95 %", *(["field", "95 %"] if self.judged else [])]
        headers += ["as float"]
        headers += ["invoke", "p95", "total", "p95", "MB", "threads"]
        lines = [self.title, ""]
        lines += [table(headers, [_cells(row, self.judged) for row in self.rows]), ""]
        lines += [self._counts()] if self.rows else []
        lines += [
            "times in ms, median and 95th percentile: invoke in the interpreter, total from frame "
            "to scores; MB: peak memory",
            "no other artifact is both as fast and as accurate: "
            + ", ".join(row.file for row in self.front),
        ]
        lines += [
            f"{row.file}: {row.twin['agreed']} of {row.twin['frames']} golden frames as "
            f"{row.twin['file']} on the CPU, largest difference {row.twin['max_steps']:g} steps"
            for row in self.rows
            if row.twin
        ]
        lines += self.notes
        lines += [f"skipped {file}: {reason}" for file, reason in self.skipped]
        lines += [self.soak.to_text()] if self.soak else []
        lines += [f"plot: {self.plot}"] if self.plot else []
        run = ("run", self.bundle, "--source", camera_source(), "--log", new_session())
        return "\n".join([*lines, _NOTE, *next_lines(run)])

    def _counts(self) -> str:
        """How many images the accuracies are of."""
        field = max((row.accuracy.total for row in self.rows if row.accuracy), default=0)
        said = f"lab: of {max(row.lab.total for row in self.rows)} test images"
        return f"{said}; field: of {field}" if field else said

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
        row.lab.range,
        *([row.accuracy.percent, row.accuracy.range] if row.accuracy else [""] * (2 * judged)),
        "" if same is None else f"{100 * same:.1f} %",
        f"{row.invoke_ms['p50']:.2f}",
        f"{row.invoke_ms['p95']:.2f}",
        f"{row.total_ms['p50']:.2f}",
        f"{row.total_ms['p95']:.2f}",
        f"{row.rss_mb:.0f}",
        str(row.threads),
    ]


def check_plot(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse before the measurements a plot that `draw` could not make after them.

    Args:
        inputs: Folders of images, which would hold the plot as one of them.

    Raises:
        OutputError: The suffix is not .png, .svg or .pdf; or it is among the images, see
            `check_outside`, or would replace anything but a plot, see `check_file_place`.
        MissingRuntimeError: matplotlib is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            f"the plot is named {path.name}, expected a name that ends in {', '.join(_SUFFIXES)}; "
            "rename it"
        )
    if find_spec("matplotlib") is None:
        raise MissingRuntimeError(
            "the plot needs matplotlib, which is not installed; pip install matplotlib, or leave "
            "--plot out"
        )
    check_outside(path, inputs, "--plot")
    check_file_place(path, "a plot", mark=_MARK.encode())


def draw(found: Benchmark, suffix: str) -> bytes:
    """Draw accuracy with its 95 % interval against time; a dot's area shows the file's size.

    Args:
        suffix: ".png", ".svg" or ".pdf".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    best = found.front
    largest = max(row.bytes for row in found.rows)
    for k, row in enumerate(sorted(found.rows, key=lambda row: row.ms)):
        low, accuracy, high = (100 * share for share in row.shares)
        label = f"{row.file}: {row.ms:.2f} ms, {accuracy:.1f} %, {row.bytes / 1000:.0f} kB"
        color, errors = f"C{k % 10}", [[accuracy - low], [high - accuracy]]
        axes.errorbar(row.ms, accuracy, errors, color=color, capsize=3, lw=1)
        axes.scatter(
            row.ms,
            accuracy,
            30 + 300 * row.bytes / largest,
            color=color,
            alpha=0.7,
            edgecolors="black" if row in best else "none",
            label=label,
        )
    line = [(row.ms, 100 * row.shares[1]) for row in best]
    axes.step(*zip(*line, strict=True), where="post", color="black", ls=":", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("ms from frame to scores, median (log scale)")
    images = "the images given" if found.judged else "the lab test"
    axes.set_ylabel(f"accuracy on {images}, %")
    # The machine, because a latency is valid for it alone.
    axes.set_title(found.title, fontsize=9, parse_math=False, wrap=True)
    note = "ringed: no other is both as fast and as accurate"
    legend: Any = figure.legend(
        loc="outside lower center", fontsize=8, title=note, title_fontsize=8
    )
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    data = io.BytesIO()
    kind = suffix.lower().removeprefix(".")
    marked = {"Software" if kind == "png" else "Creator": _MARK}
    figure.savefig(data, format=kind, dpi=120, metadata=marked)
    return data.getvalue()
