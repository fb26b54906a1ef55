"""Measure how well the picked images cover field and lab, and warn of a narrow pool."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from edgecnn.calibrate.pick import Candidates
from edgecnn.calibrate.pool import Pool
from edgecnn.camera.statistics import STATISTICS
from edgecnn.records import Record
from edgecnn.words import number

__all__ = ["Coverage", "measure_coverage", "narrowness"]

_ENOUGH = 100
# Half of the distance between two field images that chance picks, which is the root of 2: as near
# lie nine in ten of the field to 100 well spread picks, and one in four to ten.
_NEAR = 0.75
_MOSTLY = 0.9
_P90, _BRIGHT = STATISTICS.index("luma_p90"), STATISTICS.index("luma_p50")
_DARK, _GLARE = 0.25, 0.9  # share of full scale
_SPAN_S = 3600.0


@dataclass(frozen=True)
class Coverage(Record):
    """How much of the field and the lab the picked images cover, as shares in [0, 1].

    radius       how near is near: the root of the mean square of the differences, in standard
                 deviations of each statistic over the field; the same for any number of picks
    pool, lab    share of the images that have a picked one within that radius
    ranges       for each statistic, the share of the pool's range (1st to 99th percentile) that
                 the picked images span
    """

    radius: float
    pool: float
    lab: float
    ranges: dict[str, float]


def measure_coverage(pool: Pool, lab: Pool, picked: np.ndarray) -> Coverage:
    """Measure coverage in the space of the statistics; `picked` are positions in the pool."""
    centre = pool.statistics.mean(axis=0)
    spread = np.maximum(pool.statistics.std(axis=0), 0.02) * np.sqrt(len(STATISTICS))
    field, own = (pool.statistics - centre) / spread, (lab.statistics - centre) / spread
    chosen = field[picked]
    low, high = np.quantile(pool.statistics, (0.01, 0.99), axis=0)
    least, most = pool.statistics[picked].min(axis=0), pool.statistics[picked].max(axis=0)
    spanned = np.clip(np.minimum(high, most) - np.maximum(low, least), 0, None)
    whole = high - low
    shares = np.where(whole > 1e-6, spanned / np.maximum(whole, 1e-6), 1.0)
    return Coverage(
        _NEAR,
        float((_nearest(field, chosen) <= _NEAR).mean()),
        float((_nearest(own, chosen) <= _NEAR).mean()),
        dict(zip(STATISTICS, map(float, shares), strict=True)),
    )


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of `others`."""
    return np.array([np.linalg.norm(others - point, axis=1).min() for point in points])


def narrowness(pool: Pool, usable: Candidates, labels: tuple[str, ...] | None) -> list[str]:
    """Warn of what makes this pool unrepresentative, one line for each reason."""
    count, total = len(usable.indices), len(pool) + pool.broken
    notes = []
    if count < _ENOUGH:
        why = ", ".join(f"{n} {reason}" for reason, n in usable.left_out.items())
        notes.append(
            f"few images: {count} different ones of {total}{f' ({why})' if why else ''}, "
            f"expected {_ENOUGH} or more; film longer{_or_else(usable, total)}"
        )
    flat = usable.left_out.get("flat", 0)
    if 2 * flat > total:
        notes.append(f"flat: {flat} of {total} images have one tone; check that the lens is free")
    tones = pool.statistics
    dark, glare = (tones[:, _P90] < _DARK).mean(), (tones[:, _BRIGHT] > _GLARE).mean()
    if dark >= _MOSTLY:
        notes.append(f"night only: {100 * dark:.0f} % of the images are dark; add daylight")
    if glare >= _MOSTLY:
        notes.append(
            f"overexposed: {100 * glare:.0f} % of the images are nearly white; reduce the exposure"
        )
    notes += _narrow_classes(pool, usable.indices, labels) + _narrow_time(pool, usable.indices)
    return notes


def _or_else(usable: Candidates, total: int) -> str:
    """The other way out, by what left most images out: no film makes a fixed scene change."""
    ways = {
        "within a burst": ", or set a smaller --spacing",
        "near-duplicate": ", or where this camera never sees anything else give this FIELD itself "
        "to `edgecnn export MODEL --calibration`",
    }
    return "".join(way for why, way in ways.items() if 2 * usable.left_out.get(why, 0) > total)


def _narrow_classes(pool: Pool, indices: np.ndarray, labels: tuple[str, ...] | None) -> list[str]:
    if pool.classes is None or labels is None or not len(indices):
        return []
    index, count = Counter(pool.classes[indices].tolist()).most_common(1)[0]
    if count < _MOSTLY * len(indices):
        return []
    return [
        f"one class: the model reads {count} of {len(indices)} images as {labels[index]!r}; "
        "add images of the other classes"
    ]


def _narrow_time(pool: Pool, indices: np.ndarray) -> list[str]:
    files = [pool.files[k] for k in indices]
    times = [file.time.timestamp() for file in files if file.time is not None]
    if len({file.place for file in files}) == 1:  # one video has a time too, if no hour of day
        times = [file.moment for file in files if file.moment is not None]
    if len(times) < max(2, len(files) // 2) or max(times) - min(times) >= _SPAN_S:
        return []
    minutes = math.ceil((max(times) - min(times)) / 60) or 1
    span = number(minutes, "minute")
    return [f"one hour: the images were taken within {span}; add other days"]
