"""Small pictures for the page, encoded only when somebody looks."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from edgecnn.bundle.preprocess import center_crop
from edgecnn.bundle.spec import InputSpec

__all__ = ["LazyPicture", "shrink", "visible"]

_SIDE, _LEAST, _LONGEST = 480, 120, 4800
_QUALITY = 80


class LazyPicture:
    """A frame's picture; `jpeg` shrinks and encodes it once.

    Args:
        frame_bgr: uint8, shape (h, w, 3); held until it is encoded.
    """

    def __init__(self, frame_bgr: np.ndarray) -> None:
        self._frame: np.ndarray | None = frame_bgr
        self._jpeg = b""
        self._lock = threading.Lock()

    def jpeg(self) -> bytes:
        """The picture as `shrink` leaves it."""
        with self._lock:
            if self._frame is not None:
                quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                self._jpeg = cv2.imencode(".jpg", shrink(self._frame), quality)[1].tobytes()
                self._frame = None
            return self._jpeg


def shrink(frame_bgr: np.ndarray) -> np.ndarray:
    """The frame, or a smaller copy of it that fits into a square of 480 pixels; of a long one the
    short side keeps 120, or no person could see what it shows.

    Halved as often as that fits, then linear: a quarter of the time of one resize by area, which
    is fast by whole halves only.
    """
    height, width = frame_bgr.shape[:2]
    long, short = max(height, width), min(height, width)
    scale = max(_SIDE / long, min(_LEAST / short, _LONGEST / long))
    if scale >= 1:
        return frame_bgr
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = frame_bgr
    while small.shape[1] >= 2 * size_wh[0] and small.shape[0] >= 2 * size_wh[1]:
        half_wh = (small.shape[1] // 2, small.shape[0] // 2)
        even = small[: 2 * half_wh[1], : 2 * half_wh[0]]
        small = np.asarray(cv2.resize(even, half_wh, interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(small, size_wh, interpolation=cv2.INTER_LINEAR))


def visible(frame_bgr: np.ndarray, spec: InputSpec) -> np.ndarray:
    """What the model sees of a frame, at the frame's own resolution: a part of the same array."""
    return center_crop(frame_bgr, spec) if spec.resize == "center_crop" else frame_bgr
