"""How long each file takes on an image, all in one interleaved run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter_ns

import numpy as np

from edgecnn.export.readback.check import CheckedFiles

__all__ = ["with_times"]

_ROUNDS = 15
_MOST_MS = 200.0  # a file that takes longer is timed three times only


def with_times(checked: CheckedFiles, image: np.ndarray) -> CheckedFiles:
    """The files with their time against the float32 file of their kind, or of the other kind.

    Args:
        image: uint8 (height, width, 3).
    """
    times = _median_ms(checked, image)
    timed = (
        replace(one, artifact=replace(one.artifact, time_ratio=_ratio(one.artifact.file, times)))
        for one in checked.artifacts
    )
    return replace(checked, artifacts=tuple(timed))


def _median_ms(checked: CheckedFiles, image: np.ndarray) -> dict[str, float]:
    """Milliseconds of an image, by file: one file after the other in each round.

    Other programs slow all files alike, so that their ratios stay sound. The checks before have
    run each file already: it is warm.
    """
    times: dict[str, list[float]] = {one.artifact.file: [] for one in checked.artifacts}
    for turn in range(_ROUNDS):
        for one in checked.artifacts:
            own = times[one.artifact.file]
            if turn >= 3 and min(own) > _MOST_MS:
                continue
            start = perf_counter_ns()
            one.runtime.invoke(image)
            own.append((perf_counter_ns() - start) / 1e6)
    return {file: float(np.median(own)) for file, own in times.items()}


def _ratio(file: str, times: Mapping[str, float]) -> float | None:
    suffixes = (file.rpartition(".")[2], "tflite", "onnx")
    floats = (times.get(f"model_float32.{suffix}") for suffix in suffixes)
    base = next(filter(None, floats), None)
    return round(times[file] / base, 2) if base else None
