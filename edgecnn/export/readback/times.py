"""How long each file takes on an image, all in one interleaved run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from time import perf_counter_ns

import numpy as np

from edgecnn.bundle.card import Artifact
from edgecnn.export.readback.check import CheckedFiles

__all__ = ["slow_files", "with_times"]

_ROUNDS = 15
_SLOW = 3.0  # times as long as float32
_MOST_MS = 200.0  # a file that takes longer is timed three times only


def with_times(checked: CheckedFiles, image: np.ndarray) -> CheckedFiles:
    """The files with their time against the float32 file of their kind, or of the other kind.

    Args:
        image: uint8 (height, width, 3).
    """
    times = _least_ms(checked, image)
    timed = (
        replace(one, artifact=replace(one.artifact, time_ratio=_ratio(one.artifact.file, times)))
        for one in checked.artifacts
    )
    return replace(checked, artifacts=tuple(timed))


def slow_files(artifacts: Iterable[Artifact]) -> list[str]:
    """A line for each file that takes far longer than the float32 file."""
    return [
        f"{one.file} takes {one.time_ratio:.0f} times as long as the float32 file on this machine: "
        "some of its operations have no fast kernel in these numbers; measure it on the device"
        for one in artifacts
        if one.time_ratio is not None and one.time_ratio >= _SLOW
    ]


def _least_ms(checked: CheckedFiles, image: np.ndarray) -> dict[str, float]:
    """The least milliseconds that an image takes, by file: one file after the other in each round.

    Where a round takes about as long as the turn that the system gives a program, other programs
    interrupt the same file in most rounds: a median is then 20 times too long. The checks before
    have run each file already: it is warm.
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
    return {file: min(own) for file, own in times.items()}


def _ratio(file: str, times: Mapping[str, float]) -> float | None:
    suffixes = (file.rpartition(".")[2], "tflite", "onnx")
    floats = (times.get(f"model_float32.{suffix}") for suffix in suffixes)
    base = next(filter(None, floats), None)
    return round(times[file] / base, 2) if base else None
