"""What each artifact of a bundle costs and gives on this machine.

Latency belongs to the machine that it was measured on: an int8 model that is four times faster
on a Pi can be slower than float on the lab's x86. So nothing is ever projected.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgecnn.bundle import Bundle
from edgecnn.device.evaluate import EvaluateOptions, Evaluation, check_labels, evaluate
from edgecnn.device.health import host, read_health
from edgecnn.device.isolated import call
from edgecnn.errors import ArtifactError, MissingRuntimeError
from edgecnn.folders import find_labelled
from edgecnn.records import Artifact, Json, Progress, Tally
from edgecnn.text import table

__all__ = ["Benchmark", "BenchmarkOptions", "Row", "benchmark"]

_FLOAT = "model_float32.tflite"
_DISTRIBUTIONS = {
    "ai_edge_litert": "ai-edge-litert",
    "tflite_runtime": "tflite-runtime",
    "tensorflow": "tensorflow",
    "onnxruntime": "onnxruntime",
}
_NOTE = "Measured on this machine; it says nothing of how fast another one is."


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Args:
        device: What files compiled for an Edge TPU run on; all others run on the CPU.
        threads: Interpreter threads.
        runtime: One of `runtime.TFLITE_RUNTIMES`; None takes the first that imports.
        warmup: Classifications that are not counted.
        repeats: Classifications that are, at most.
        seconds: After so long a measurement ends early (but not under 20 classifications).
    """

    device: str = "cpu"
    threads: int = 1
    runtime: str | None = None
    warmup: int = 20
    repeats: int = 200
    seconds: float = 5.0


@dataclass(frozen=True)
class Row:
    """One artifact. Times are {"p50", "p95"} in ms: `invoke_ms` inside the interpreter,
    `total_ms` from a frame of `frame_wh` to scores. `rss_mb` is the peak memory of a process that
    runs nothing else. `accuracy` and `agreement` (share of images read as model_float32.tflite
    reads them) are None where no labelled images were given."""

    file: str
    kind: str
    bytes: int
    runtime: str
    frame_wh: list[int]
    repeats: int
    invoke_ms: Json
    preprocess_ms: Json
    total_ms: Json
    rss_mb: float
    accuracy: Tally | None = None
    agreement: float | None = None

    def to_json(self) -> Json:
        accuracy = self.accuracy.to_json() if self.accuracy else None
        return {**asdict(self), "accuracy": accuracy}


@dataclass(frozen=True)
class Benchmark:
    """All artifacts. `skipped` holds (file, reason) of those that can't run here."""

    device: str
    machine: Json
    threads: int
    runtimes: dict[str, str]
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...]

    def to_json(self) -> Json:
        return {
            "device": self.device,
            "machine": self.machine,
            "threads": self.threads,
            "runtimes": self.runtimes,
            "artifacts": [row.to_json() for row in self.rows],
            "skipped": [{"file": file, "reason": reason} for file, reason in self.skipped],
            "note": _NOTE,
        }

    def to_text(self) -> str:
        headers = ["artifact", "kB", "invoke p50", "p95", "total p50 ms", "peak MB"]
        judged = any(row.accuracy for row in self.rows)
        headers += ["accuracy", "95 %", "as float"] if judged else []
        lines = [f"{self.device}, {self._state()}", ""]
        lines += [table(headers, [_cells(row, judged) for row in self.rows]), ""]
        lines += [f"skipped {file}: {reason}" for file, reason in self.skipped]
        return "\n".join([*lines, _NOTE])

    def _state(self) -> str:
        """Threads, runtimes, clock, temperature and throttling, as far as they are known."""
        parts = [f"{self.threads} thread{'s' * (self.threads > 1)}"]
        parts += [f"{name} {number}" for name, number in self.runtimes.items()]
        if self.machine["clock_mhz"]:
            parts.append(f"{self.machine['clock_mhz']:.0f} MHz")
        if self.machine["temperature_c"] is not None:
            parts.append(f"{self.machine['temperature_c']:.0f} °C")
        if self.machine["throttled"] not in (None, "0x0"):
            parts.append(f"THROTTLED ({self.machine['throttled']}): cool it and measure again")
        return ", ".join(parts)


def benchmark(
    bundle: Path | str,
    data: Path | str | None = None,
    options: BenchmarkOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure every artifact that can run here, each in a process of its own.

    Args:
        data: A class-per-folder tree to measure accuracy on, or None.

    Raises:
        BundleError: The bundle can't be used.
        DataError: `data` has no usable image or labels that the bundle doesn't know.
        MissingRuntimeError: Not one artifact can run here.
    """
    options = options or BenchmarkOptions()
    opened = Bundle.open(bundle)
    if data is not None:
        check_labels(find_labelled(Path(data)), opened.card.labels, Path(data))
    measured, skipped = _measure_all(opened, options, progress)
    judged: dict[str, Evaluation] = {}
    if data is not None:
        files = [artifact.file for artifact, _ in measured]
        judged, failed = _judge(opened, Path(data), files, options, progress)
        skipped += failed
    used = dict.fromkeys(reply["runtime"] for _, reply in measured)
    return Benchmark(
        device=machine_name(),
        machine={**host(), **read_health(), "clock_mhz": clock_mhz()},
        threads=options.threads,
        runtimes={name: _version(name) for name in used},
        rows=tuple(_row(artifact, reply, judged) for artifact, reply in measured),
        skipped=tuple(skipped),
    )


def machine_name() -> str:
    """A Pi's or Coral's model, else the processor's."""
    model = host()["model"]
    if model:
        return str(model)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())


def clock_mhz() -> float | None:
    """The clock of the first core now, or None where the machine doesn't tell."""
    for name in ("scaling_cur_freq", "cpuinfo_cur_freq"):
        try:
            return int(Path(f"/sys/devices/system/cpu/cpu0/cpufreq/{name}").read_text()) / 1000
        except (OSError, ValueError):
            continue
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((float(li.partition(":")[2]) for li in lines if li.startswith("cpu MHz")), None)


def _measure_all(
    bundle: Bundle, options: BenchmarkOptions, progress: Progress | None
) -> tuple[list[tuple[Artifact, Json]], list[tuple[str, str]]]:
    """What each artifact's process answered, and (file, reason) of those that can't run."""
    measured, skipped = [], []
    artifacts = bundle.card.artifacts
    for k, artifact in enumerate(artifacts):
        request = {
            **asdict(options),
            "bundle": str(bundle.path.resolve()),
            "artifact": artifact.file,
            "device": _device(artifact.file, options),
        }
        timeout_s = 60 + 10 * options.seconds
        try:
            reply = call("edgecnn.device.measure", request, timeout_s)
            measured.append((artifact, reply))
        except MissingRuntimeError as error:
            skipped.append((artifact.file, str(error)))
        if progress:
            progress("measure", k + 1, len(artifacts))
    if not measured:
        reason = skipped[0][1] if skipped else "it has no artifact"
        raise MissingRuntimeError(f"no artifact of {bundle.path} can run here: {reason}")
    return measured, skipped


def _judge(
    bundle: Bundle,
    data: Path,
    files: list[str],
    options: BenchmarkOptions,
    progress: Progress | None,
) -> tuple[dict[str, Evaluation], list[tuple[str, str]]]:
    judged, failed = {}, []
    for file in files:
        choice = EvaluateOptions(
            file, _device(file, options), options.threads, runtime=options.runtime
        )
        try:
            judged[file] = evaluate(bundle.path, data, choice, progress=progress)
        except (MissingRuntimeError, ArtifactError) as error:
            failed.append((file, str(error)))
    return judged, failed


def _device(file: str, options: BenchmarkOptions) -> str:
    return options.device if file.endswith("_edgetpu.tflite") else "cpu"


def _row(artifact: Artifact, reply: Json, judged: dict[str, Evaluation]) -> Row:
    mine, reference = judged.get(artifact.file), judged.get(_FLOAT)
    agreement = None
    if mine and reference:
        pairs = zip(mine.answers, reference.answers, strict=True)
        same = sum(a.prediction.index == b.prediction.index for a, b in pairs)
        agreement = same / len(mine.answers)
    return Row(
        file=artifact.file,
        kind=artifact.kind,
        bytes=artifact.bytes,
        accuracy=mine.accuracy if mine else None,
        agreement=agreement,
        **reply,
    )


def _cells(row: Row, judged: bool) -> list[str]:
    cells = [
        row.file,
        f"{row.bytes / 1000:.0f}",
        f"{row.invoke_ms['p50']:.2f}",
        f"{row.invoke_ms['p95']:.2f}",
        f"{row.total_ms['p50']:.2f}",
        f"{row.rss_mb:.0f}",
    ]
    if not judged:
        return cells
    if row.accuracy is None or row.accuracy.accuracy is None:
        return [*cells, "", "", ""]
    low, high = row.accuracy.interval
    as_float = "" if row.agreement is None else f"{100 * row.agreement:.1f} %"
    share = f"{100 * row.accuracy.accuracy:.1f} %"
    return [*cells, share, f"{100 * low:.1f}-{100 * high:.1f}", as_float]


def _version(runtime: str) -> str:
    try:
        return version(_DISTRIBUTIONS[runtime])
    except PackageNotFoundError:
        return "of unknown version"
