"""Break down accuracy on the test split by class, by device and by columns of the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecnn.accuracy.groups import WorstGroup, per_group, worst_group
from edgecnn.accuracy.tally import Tally
from edgecnn.images.dataset import Dataset
from edgecnn.images.split_groups import GroupOptions, find_devices
from edgecnn.records import Record, json_as
from edgecnn.render.table import table
from edgecnn.train.options import TrainOptions

__all__ = ["Breakdown", "break_down", "group_names"]

_MOST_ROWS = 12


@dataclass(frozen=True)
class Breakdown(Record):
    """Accuracy for each value of one column.

    column   "class" (the true one), or the name of the groups
    tallies  the tally of each value that a test image has, the worst first
    worst    the worst value with at least 10 images, compared with all others; None when fewer
             than two values have so many
    unknown  number of test images without a value
    """

    column: str = field(metadata=json_as(hidden=True))
    tallies: dict[str, Tally]
    worst: WorstGroup | None
    unknown: int = 0

    def to_text(self) -> str:
        """The worst values as a table, and how far the worst is behind the others."""
        shown = list(self.tallies.items())[:_MOST_ROWS]
        text = table([self.column, "accuracy"], [(n, t.text()) for n, t in shown])
        more = len(self.tallies) - len(shown)
        lines = [text, *([f"... and {more} better ones in card.json"] if more else [])]
        if self.unknown:
            lines.append(f"({self.unknown} test images have no {self.column}.)")
        w = self.worst
        if w:
            lines.append(
                f"Worst {self.column}: {w.name}, {w.points:.1f} points behind the others (95 % "
                f"interval {w.low:.1f} to {w.high:.1f}; the worst of many looks worse than it is)."
            )
        else:
            lines.append(f"No worst {self.column}: fewer than two have 10 test images.")
        return "\n".join(lines)


def group_names(data: Dataset, options: TrainOptions) -> dict[str, list[str | None]]:
    """The value of each image in each column; a column without values is left out.

    Raises:
        DataError: The manifest can't be read or lacks a column or most of the images.
    """
    manifest = Path(options.manifest) if options.manifest else None
    columns = dict.fromkeys((options.group, *options.by))
    found = {c: find_devices(data, GroupOptions(manifest, c)) for c in columns}
    return {column: names for column, names in found.items() if names}


def break_down(
    classes: Sequence[str], groups: dict[str, list[str | None]], correct: np.ndarray
) -> tuple[Breakdown, ...]:
    """Accuracy by class and by each column.

    Args:
        classes: Label of each test image.
        groups: For each column the value of each test image, None where unknown.
        correct: bool, shape (n,): which images were read correctly.
    """
    right = correct.tolist()
    columns: dict[str, Sequence[str | None]] = {"class": classes, **groups}
    tallies = {column: per_group(names, right) for column, names in columns.items()}
    return tuple(
        Breakdown(column, found, worst_group(found), sum(n is None for n in columns[column]))
        for column, found in tallies.items()
    )
