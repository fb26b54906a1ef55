"""How long each file takes on an image, all in one interleaved run."""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np

from edgecnn.export.readback.check import CheckedFiles
from edgecnn.model.read import LabModel

__all__ = ["time_files"]

_ROUNDS = 15
_MOST_MS = 200.0  # a file that takes longer is timed three times only


def time_files(checked: CheckedFiles, lab: LabModel) -> dict[str, float]:
    """Median milliseconds of an image, by file: one file after the other in each round.

    Other programs slow all files alike, so that their ratios stay sound. The checks before have
    run each file already: it is warm.
    """
    image = lab.test.tensors[0]
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
