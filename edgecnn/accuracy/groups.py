"""Accuracy of each group (device, site, day, ...): an average hides the camera that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as

__all__ = ["WorstGroup", "per_group", "worst_group"]

_FEWEST = 10  # answers of a group that a gap is stated of


@dataclass(frozen=True)
class WorstGroup(Record):
    """The group with the lowest accuracy, beside all others together.

    points, low, high   others minus this group, in points, with a 95 % interval: see `difference`.
    The worst of many groups looks worse than it is: read the interval, not the points.
    """

    name: str = field(metadata=json_as("group"))
    tally: Tally = field(metadata=json_as("accuracy"))
    others: Tally
    points: float = field(metadata=json_as("gap_points"))
    low: float = field(metadata=json_as("gap_low"))
    high: float = field(metadata=json_as("gap_high"))


def per_group(
    names: Sequence[str | None], correct: np.ndarray, thing: np.ndarray, label: Sequence[str]
) -> dict[str, Tally]:
    """Count right answers by group, the worst group first; leave out answers without a group.

    Args:
        names: Group of each answer.
        correct: bool, shape (n,): whether each answer was right.
        thing: int, shape (n,): what each image shows, see `accuracy.objects`.
        label: The true class of each image.

    Example:
        >>> right, thing = np.array([True, True, False, False]), np.arange(4)
        >>> per_group(["a", "b", "b", None], right, thing, "cccc")
        {'b': Tally(50.0 % of 2, 95 % interval 6.1-93.9), 'a': Tally(100.0 % of 1, \
95 % interval 2.5-100.0)}
    """
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            groups.setdefault(name, []).append(row)
    found = {
        name: tally_of_objects(correct[rows], thing[rows], [label[row] for row in rows])
        for name, rows in groups.items()
    }
    return dict(sorted(found.items(), key=lambda item: (item[1].accuracy or 0.0, item[0])))


def worst_group(tallies: dict[str, Tally]) -> WorstGroup | None:
    """The worst of the groups with at least 10 answers, or None when there are not two of them."""
    large = {name: tally for name, tally in tallies.items() if tally.total >= _FEWEST}
    if len(large) < 2:
        return None
    name = min(large, key=lambda key: (large[key].accuracy or 0.0, key))
    others = sum((tally for key, tally in large.items() if key != name), Tally(0, 0))
    return WorstGroup(name, large[name], others, *difference(others, large[name]))
