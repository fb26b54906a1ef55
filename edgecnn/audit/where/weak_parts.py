"""Parts of the field that are worse than the rest, corrected for having looked at many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erfc, sqrt

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.quantiles import Z_95
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.where.frame_table import FrameTable, Labelled
from edgecnn.records import Record

__all__ = ["Part", "weak_parts"]

# A part needs labels worth so many, and a field at most so many values.
_FEWEST, _MOST_VALUES = 8.0, 100
_SURE = 0.05


@dataclass(frozen=True)
class Part(Record):
    """Frames that have one value of a field, beside all others.

    confidence  mean calibrated confidence of all frames of the part, labelled or not
    points, low, high  accuracy of the others minus that of this part, with a 95 % interval
    chance      of a part that looks as bad as this or worse, of as many as were looked at, if none
                were worse than the rest (Holm)
    """

    field: str
    value: str
    frames: int
    confidence: float
    live: Tally
    points: float
    low: float
    high: float
    chance: float

    @property
    def is_sure(self) -> bool:
        """Whether this is more than the worst of many."""
        return self.chance <= _SURE

    @property
    def name(self) -> str:
        return f"{self.field} {self.value}"

    @property
    def figures(self) -> str:
        """The part beside the rest, for the terminal and the page."""
        return (
            f"{self.live.text()}, {self.points:.1f} points below the rest ({self.low:.1f} to "
            f"{self.high:.1f})"
        )

    @property
    def held(self) -> tuple[int, str]:
        """Alike in parts that hold the same frames: of one device name and host are one part."""
        return self.frames, self.figures


def weak_parts(table: FrameTable) -> tuple[Part, ...]:
    """Every part that has labels enough, the worst first.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    found = []
    for name, field in table.fields.items():
        if len(field.values) > _MOST_VALUES:
            continue
        every = field.column(len(table.index))
        code = every[table.labelled.is_there]
        for position, value in enumerate(field.values):
            compared = _compare(table.labelled, code, position)
            if compared is not None:
                rows = every == position
                sure = round(_mean_confidence(table, rows), 4)
                found.append(Part(name, value, int(rows.sum()), sure, *compared))
    return _corrected(found)


def _mean_confidence(table: FrameTable, rows: np.ndarray) -> float:
    confidence = table.confidence[rows]
    weight = None if table.weight is None else table.weight[rows]
    if weight is None or not weight.any():
        return float(confidence.mean())
    return float(np.average(confidence, weights=weight))


def _compare(
    labelled: Labelled, code: np.ndarray, position: int
) -> tuple[Tally, float, float, float, float] | None:
    """One part beside the other frames of its field; `chance` as if nothing else was looked at.

    Args:
        code: int, shape (m,): the value of each labelled frame.
    """
    here = labelled.tally(code == position)
    there = labelled.tally((code >= 0) & (code != position))
    if min(here.worth, there.worth) < _FEWEST:
        return None
    points, low, high = difference(there, here)
    deviation = (points - low if points > 0 else high - points) / Z_95
    chance = erfc(points / max(deviation, 1e-9) / sqrt(2)) / 2
    return here, points, low, high, chance


def _corrected(parts: list[Part]) -> tuple[Part, ...]:
    """The same, the worst first, each with its chance among all that were looked at."""
    ranked = sorted(parts, key=lambda part: (part.chance, -part.points))
    corrected, largest = [], 0.0
    for rank, part in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * part.chance))
        corrected.append(replace(part, chance=largest))
    return tuple(corrected)
