"""Classes that are read as others, as they are where labels or folders stand under other names."""

from __future__ import annotations

import numpy as np

__all__ = ["changing_places", "moved_classes"]

_MOSTLY = 0.8  # of a class's images


def moved_classes(given: np.ndarray, read: np.ndarray, fewest: int) -> dict[int, int]:
    """The classes whose images are mostly read as one other class, and that class.

    Args:
        given, read: int (n,): the label and the answer of each image.
        fewest: Images that a class must have.
    """
    moved: dict[int, int] = {}
    for one in np.unique(given).tolist():
        answers = np.bincount(read[given == one])
        other, count = int(answers.argmax()), int(answers.sum())
        if other != one and count >= fewest and answers[other] >= _MOSTLY * count:
            moved[one] = other
    return moved


def changing_places(moved: dict[int, int]) -> dict[int, int]:
    """Those of `moved_classes` that take the place of one another, in a circle.

    A class that is read as another one says nothing: the camera may do that.

    Example:
        >>> changing_places({0: 1, 1: 0, 2: 5})
        {0: 1, 1: 0}
    """
    while True:
        circle = {a: b for a, b in moved.items() if b in moved and a in moved.values()}
        if len(circle) == len(moved):
            return circle
        moved = circle
