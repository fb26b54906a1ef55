"""A change to a kept frame that undoes what a device may do to every one of its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from edgecnn.bundle.frame_view import Flip, FrameView

__all__ = ["Change", "moved", "turned_by", "viewed"]


@dataclass(frozen=True)
class Change:
    """One setting for all frames of a device.

    Args:
        name: What a person calls it, such as "the middle 80 % of the frame".
        apply: frame_bgr, uint8 (h, w, 3) -> the changed frame, uint8 (h2, w2, 3).
        cut: The part of the frame that is left, as shares (left, top, width, height); None of a
            change that `run --roi` can't do.
        rotate: Degrees clockwise, as of `run --rotate`.
        flip: As of `run --flip`, after the turn.
        swaps_colour: As the other `run --color` does.
        refilled: As `apply`, but what lies outside of the frame is its mirror image; None where
            nothing of that comes into view.
        remedy: How a person makes it at the camera, where no option of `run` does.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    cut: tuple[float, float, float, float] | None = None
    rotate: int = 0
    flip: Flip | None = None
    swaps_colour: bool = False
    refilled: Callable[[np.ndarray], np.ndarray] | None = None
    remedy: str = ""

    def region(self, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
        """`cut` in pixels of a frame of this shape: (x, y, width, height)."""
        if self.cut is None:
            return None
        height, width = shape[:2]
        left, top, wide, high = self.cut
        return (
            round(left * width),
            round(top * height),
            max(1, round(wide * width)),
            max(1, round(high * height)),
        )


def moved(name: str, *, zoom: float = 1.0, right: float = 0.0, down: float = 0.0) -> Change:
    """Enlarge the frame about a point beside its middle; what lies outside repeats the edge.

    Args:
        zoom: Above 1 the middle fills the frame; under 1 more than the frame is shown.
        right, down: How far the new middle is from the old one, as shares of the frame.
    """
    share = 1 / zoom
    left, top = 0.5 + right - share / 2, 0.5 + down - share / 2
    inside = min(left, top) >= 0 and max(left, top) + share <= 1
    cut = (left, top, share, share) if inside else None
    warp = partial(_warp, zoom=zoom, right=right, down=down, degrees=0.0)
    refilled = None if inside else partial(warp, border=cv2.BORDER_REFLECT)
    return Change(name, warp, cut, refilled=refilled)


def turned_by(name: str, degrees: float) -> Change:
    """Turn the content clockwise by a small angle about the middle."""
    warp = partial(_warp, zoom=1.0, right=0.0, down=0.0, degrees=degrees)
    return Change(name, warp, refilled=partial(warp, border=cv2.BORDER_REFLECT))


def viewed(name: str, view: FrameView) -> Change:
    """Turn by a right angle, or mirror."""
    return Change(name, view.apply, rotate=view.rotate, flip=view.flip)


def _warp(
    frame: np.ndarray,
    *,
    zoom: float,
    right: float,
    down: float,
    degrees: float,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    height, width = frame.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = np.array(cv2.getRotationMatrix2D(middle, -degrees, zoom), float)
    matrix[:, 2] -= zoom * np.array([right * width, down * height])
    size_wh = (width, height)
    return cv2.warpAffine(frame, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=border)
