"""Labels under other names: classes that the network surely reads as each other."""

from __future__ import annotations

import numpy as np

from edgecnn.accuracy.moved_classes import changing_places, moved_classes
from edgecnn.bundle.last_layer import SURELY, UNLABELLED

__all__ = ["exchanged_labels"]

_FEWEST = 3  # images of a class
_SHOWN = 3


def exchanged_labels(labels: np.ndarray, scores: np.ndarray, names: tuple[str, ...]) -> str:
    """Why the labels can't be right as they are named; empty where nothing says so.

    A class that is read as another one says nothing: the camera may do that. Only classes that
    change places do, or most of all classes, each under a name of its own.

    Args:
        labels: int (n,): of the field images, UNLABELLED where there is none.
        scores: float32 (n, classes): the network's, before it learned any label.
        names: Of the classes.
    """
    known = (labels != UNLABELLED) & (scores.max(axis=1) >= SURELY)
    given, read = labels[known], scores[known].argmax(axis=1)
    moved = moved_classes(given, read, _FEWEST)
    counts = {one: int((given == one).sum()) for one in moved}
    places = set(moved.values())
    renamed = len(places) == len(moved) > 2 and sum(counts.values()) > len(given) / 2
    if not renamed:
        moved = changing_places(moved)
    if not moved:
        return ""
    shown = ", ".join(f"{names[a]!r} as {names[b]!r}" for a, b in list(moved.items())[:_SHOWN])
    more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
    return (
        f"the network surely reads the images labelled {shown}{more}: the labels seem to be under "
        "other names, so name them as what they show, or leave --labels out; or the pictures are "
        "turned, mirrored or in exchanged colours, so put these right first"
    )
