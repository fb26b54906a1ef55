"""Measure one artifact for `benchmark`, in its own process.

`python -m edgecnn.device.benchmark.worker` reads {"bundle", "artifact", "device", "threads",
"runtime", "warmup", "warmup_seconds", "repeats", "seconds"} and answers with the latencies
in ms and the memory in MB.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from edgecnn.bundle.classifier import Classifier, Timing
from edgecnn.bundle.edgetpu.twin import compare_golden, load_twin
from edgecnn.bundle.preprocess import decode
from edgecnn.device.machine.health import clock_mhz
from edgecnn.device.machine.isolated import serve
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.records import Json

__all__ = ["measure", "open_frame", "peak_memory_mb", "warm_up"]


def measure(request: Json) -> Json:
    """Classify one frame again and again, after a warm-up."""
    classifier, frame = open_frame(request)
    warm_up(classifier, frame, request)
    timings: list[Timing] = []
    end = perf_counter() + request["seconds"]
    while len(timings) < request["repeats"] and (perf_counter() < end or len(timings) < 20):
        timings.append(classifier.timed(frame)[1])
    clock = clock_mhz()  # before the processor slows down again
    memory_mb = peak_memory_mb()  # before the twin needs memory
    twin = load_twin(classifier, request["device"], runtime=request["runtime"])
    return {
        "runtime": classifier.runtime.name,
        "frame_wh": [frame.shape[1], frame.shape[0]],
        "repeats": len(timings),
        "invoke_ms": Percentiles.of(t.invoke_ms for t in timings).to_json(),
        "preprocess_ms": Percentiles.of(t.preprocess_ms for t in timings).to_json(),
        "total_ms": Percentiles.of(t.preprocess_ms + t.invoke_ms for t in timings).to_json(),
        "clock_mhz": clock,
        "rss_mb": memory_mb,
        "twin": compare_golden(classifier, twin).to_json() if twin else None,
    }


def open_frame(request: Json) -> tuple[Classifier, np.ndarray]:
    """Load the artifact and the frame to classify.

    The frame is the bundle's first golden frame, so that preprocessing does real work, or else
    noise of 640x480 pixels.
    """
    classifier = Classifier(
        request["bundle"],
        request["artifact"],
        device=request["device"],
        threads=request["threads"],
        runtime=request["runtime"],
    )
    golden = classifier.bundle.golden()
    if golden:
        file = golden[0].file
        return classifier, decode(classifier.bundle.read(f"golden/{file}"), file)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return classifier, noise


def warm_up(classifier: Classifier, frame: np.ndarray, request: Json) -> None:
    """Classify without counting until caches are filled and the clock has risen."""
    end = perf_counter() + request["warmup_seconds"]
    done = 0
    while done < request["warmup"] or perf_counter() < end:
        classifier.timed(frame)
        done += 1


def peak_memory_mb() -> float:
    """The peak memory of this process in MB of 1e6 bytes.

    It comes from /proc where possible: getrusage also counts the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


if __name__ == "__main__":
    serve(measure)
