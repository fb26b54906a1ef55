"""The regions that `run --roi` names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import cv2
import numpy as np

from edgecnn.bundle.frame_view import Flip, FrameView
from edgecnn.errors import EdgecnnError, OptionError

__all__ = ["overlaps", "parse_views"]

_MUCH = 0.5


def parse_views(rois: Sequence[str], rotate: int, flip: Flip | None) -> tuple[FrameView, ...]:
    """The views of each frame, in the order in which they were given; all are turned alike.

    Args:
        rois: Each "x,y,w,h", or eight numbers for four corners, with "NAME=" before it where
            there are several; none for the whole frame.

    Raises:
        OptionError: Another form, or names that are missing or there twice.

    Example:
        >>> [view.name for view in parse_views(["hall=0,0,8,6", "door=8,0,8,6"], 0, None)]
        ['hall', 'door']
    """
    try:
        if not rois:
            return (FrameView(None, rotate, flip),)
        views = tuple(_view(roi, rotate, flip) for roi in rois)
    except OptionError:
        raise
    except EdgecnnError as error:
        name = "--roi" if rotate in (0, 90, 180, 270) else "--rotate"
        raise OptionError(f"{name}: {error}") from error
    names = [view.name for view in views]
    if len(views) > 1 and (None in names or len(set(names)) < len(names)):
        raise OptionError(
            f"--roi is {', '.join(map(repr, rois))}; several regions need a name each, such as "
            "hall=0,0,80,60"
        )
    return views


def _view(roi: str, rotate: int, flip: Flip | None) -> FrameView:
    name, mark, numbers = roi.rpartition("=")
    parts = [part.strip() for part in numbers.split(",")]
    if len(parts) not in (4, 8) or not all(part.isascii() and part.isdigit() for part in parts):
        raise OptionError(
            f"--roi is {roi!r}, expected x,y,w,h in pixels such as 80,0,480,480, or eight numbers "
            "for four corners"
        )
    values = tuple(map(int, parts))
    label = name.strip() if mark else None
    if len(values) == 8:
        return FrameView(None, rotate, flip, label, values)
    x, y, width, height = values
    return FrameView((x, y, width, height), rotate, flip, label)


def overlaps(views: Sequence[FrameView]) -> Iterator[str]:
    """What to say of regions that show the same thing: half of the smaller one or more."""
    for one, other in combinations(views, 2):
        ours, theirs = _outline(one), _outline(other)
        shared, _ = cv2.intersectConvexConvex(ours, theirs)
        share = shared / max(1.0, min(map(cv2.contourArea, (ours, theirs))))
        if share >= _MUCH:
            yield (
                f"--roi {one.name} and {other.name} share {100 * share:.0f} % of their picture: "
                "what is counted of both counts one thing twice, so that its interval is too "
                "narrow; go by each region's own"
            )


def _outline(view: FrameView) -> np.ndarray:
    if view.corners is not None:
        return np.array(view.corners, np.float32).reshape(4, 2)
    x, y, width, height = view.region or (0, 0, 0, 0)
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float32)
