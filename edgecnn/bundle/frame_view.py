"""Which part of a camera frame is classified, and how it is turned before preprocessing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from edgecnn.errors import EdgecnnError, ImageError
from edgecnn.records import Record

__all__ = ["WHOLE_FRAME", "Flip", "FrameView"]

Flip = Literal["horizontal", "vertical"]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True)
class FrameView(Record):
    """The region of a frame that is classified; it is cut out, then rotated, then flipped.

    Args:
        region: (x, y, width, height) in pixels of the captured frame; None takes all of it.
        rotate: Degrees clockwise: 0, 90, 180 or 270.
        flip: "horizontal" exchanges left and right, "vertical" top and bottom.
        name: What events and pictures call this region where there are several.

    Raises:
        EdgecnnError: A value outside of these.

    Example:
        >>> FrameView(region=(0, 0, 4, 2), rotate=90).apply(np.zeros((8, 8, 3), np.uint8)).shape
        (4, 2, 3)
    """

    region: tuple[int, int, int, int] | None = None
    rotate: int = 0
    flip: Flip | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.rotate not in (0, *_TURNS):
            raise EdgecnnError(f"rotate is {self.rotate}, expected 0, 90, 180 or 270")
        if self.flip not in (None, *get_args(Flip)):
            raise EdgecnnError(f"flip is {self.flip!r}, expected 'horizontal' or 'vertical'")
        if self.region is not None and not (min(self.region) >= 0 < min(self.region[2:])):
            raise EdgecnnError(
                f"region is {self.region}, expected x, y from 0 and width, height from 1"
            )
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise EdgecnnError(
                f"the region's name is {self.name!r}, expected 1 to 32 letters, digits, _ or -"
            )

    @property
    def is_whole(self) -> bool:
        """Whether frames stay as they were captured."""
        return self.region is None and self.rotate == 0 and self.flip is None

    def apply(self, frame_bgr: np.ndarray) -> np.ndarray:
        """The view of one frame: uint8, shape (h, w, 3), B, G, R.

        Raises:
            ImageError: The region is not inside of the frame.
        """
        if self.region is not None:
            x, y, width, height = self.region
            size = frame_bgr.shape[1], frame_bgr.shape[0]
            if x + width > size[0] or y + height > size[1]:
                raise ImageError(
                    f"region {self.region} is not inside of the frame of {size[0]}x{size[1]} "
                    "pixels; choose a region of the camera's frame size"
                )
            frame_bgr = np.ascontiguousarray(frame_bgr[y : y + height, x : x + width])
        if self.rotate:
            frame_bgr = cv2.rotate(frame_bgr, _TURNS[self.rotate])
        if self.flip is not None:
            frame_bgr = cv2.flip(frame_bgr, 1 if self.flip == "horizontal" else 0)
        return frame_bgr


WHOLE_FRAME = FrameView()
