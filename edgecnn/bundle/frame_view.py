"""Which part of a camera frame is classified, and how it is turned before preprocessing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import cv2
import numpy as np

from edgecnn.errors import EdgecnnError, ImageError
from edgecnn.records import Record, json_as

__all__ = ["WHOLE_FRAME", "Flip", "FrameView", "view_options"]

Flip = Literal["horizontal", "vertical"]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True)
class FrameView(Record):
    """The region of a frame that is classified; it is cut out, then rotated, then flipped.

    Args:
        region: (x, y, width, height) in pixels of the captured frame; None takes all of it.
        corners: Instead of a region its four corners (x, y), as they stand around the object:
            upper left, upper right, lower right, lower left. A plate that is seen at an angle
            becomes a rectangle of its mean width and height.
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
    corners: tuple[int, ...] | None = field(default=None, metadata=json_as(if_any=True))

    def __post_init__(self) -> None:
        if self.rotate not in (0, *_TURNS):
            raise EdgecnnError(f"rotate is {self.rotate}, expected 0, 90, 180 or 270")
        if self.flip not in (None, *get_args(Flip)):
            raise EdgecnnError(f"flip is {self.flip!r}, expected 'horizontal' or 'vertical'")
        if self.region is not None and not (min(self.region) >= 0 < min(self.region[2:])):
            raise EdgecnnError(
                f"region is {self.region}, expected x, y from 0 and width, height from 1"
            )
        if self.corners is not None:
            self._check_corners(self.corners)
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise EdgecnnError(
                f"the region's name is {self.name!r}, expected 1 to 32 letters, digits, _ or -"
            )

    @property
    def is_whole(self) -> bool:
        """Whether frames stay as they were captured."""
        return self == FrameView(name=self.name)

    def apply(self, frame_bgr: np.ndarray) -> np.ndarray:
        """The view of one frame: uint8, shape (h, w, 3), B, G, R.

        Raises:
            ImageError: The region is not inside of the frame.
        """
        if self.corners is not None:
            frame_bgr = _straightened(frame_bgr, self.corners)
        elif self.region is not None:
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

    def _check_corners(self, corners: tuple[int, ...]) -> None:
        points = np.array(corners).reshape(-1, 2) if len(corners) == 8 else np.zeros((0, 2))
        edges = np.roll(points, -1, axis=0) - points
        turns = _cross(edges, np.roll(edges, -1, axis=0))
        if not len(points) or points.min() < 0 or turns.min() <= 0:
            raise EdgecnnError(
                f"corners are {corners}, expected x, y from 0 of upper left, upper right, lower "
                "right and lower left, with no inward bend"
            )
        if self.region is not None:
            raise EdgecnnError("a view has a region or corners, not both")


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Above 0 where b turns to the right of a, in pixels that count downwards."""
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _straightened(frame_bgr: np.ndarray, corners: tuple[int, ...]) -> np.ndarray:
    """The quadrilateral of four corners as a rectangle."""
    points = np.array(corners, np.float32).reshape(4, 2)
    wide, high = frame_bgr.shape[1], frame_bgr.shape[0]
    if points[:, 0].max() > wide or points[:, 1].max() > high:
        raise ImageError(
            f"corners {corners} are not inside of the frame of {wide}x{high} pixels; choose ones "
            "of the camera's frame size"
        )
    sides = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    width, height = (max(1, round(float(sides[k] + sides[k + 2]) / 2)) for k in (0, 1))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    # Edges of the picture, not centres of its pixels: a rectangle comes out as it was.
    matrix = cv2.getPerspectiveTransform(points - 0.5, target - 0.5)
    return np.asarray(cv2.warpPerspective(frame_bgr, matrix, (width, height)))


WHOLE_FRAME = FrameView()


def view_options(views: Sequence[FrameView], color: str | None) -> list[str]:
    """The options of `edgecnn run` by which it sees of a frame what these views show.

    Args:
        views: `run` turns all of them alike; none for the whole frame.
        color: Of the source, "bgr" or "rgb".

    Example:
        >>> view_options([FrameView(region=(0, 0, 4, 2), rotate=90)], "rgb")
        ['--roi', '0,0,4,2', '--rotate', '90', '--color', 'rgb']
    """
    words = []
    for view in views:
        numbers = view.corners or view.region
        if numbers is not None:
            name = f"{view.name}=" if view.name else ""
            words += ["--roi", name + ",".join(map(str, numbers))]
    first = views[0] if views else WHOLE_FRAME
    if first.rotate:
        words += ["--rotate", str(first.rotate)]
    if first.flip:
        words += ["--flip", first.flip]
    return [*words, *(["--color", "rgb"] if color == "rgb" else [])]
