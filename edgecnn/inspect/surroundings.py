"""What of a picture does not show the object: its border, its noise there, and its file's header.

A class may be told by its colour or shape, as lemons from limes, and that is no fault. If the
border of the pictures, the sensor's noise or the file format tells the class, the pictures of the
classes were taken in different ways.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgecnn.inspect.headers import Header

__all__ = ["SURROUNDINGS", "surroundings"]

SURROUNDINGS = (
    "border_light",  # log of the mean
    "border_red",  # log of red over green
    "border_blue",  # log of blue over green
    "border_noise",  # log of the median response to Immerkaer's mask
    "format",  # 1 for a JPEG
    "compression",  # mean of a JPEG's luminance table, 0 for other files
)
_RING = 0.06  # of the shorter side: wide enough for colour and noise, and rarely the object
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def surroundings(frame_bgr: np.ndarray, header: Header | None) -> np.ndarray:
    """The columns of SURROUNDINGS: float32, shape (6,).

    Args:
        frame_bgr: uint8, shape (h, w, 3).
    """
    h, w = frame_bgr.shape[:2]
    wide = max(2, round(_RING * min(h, w)))
    edges = (frame_bgr[:wide], frame_bgr[-wide:], frame_bgr[:, :wide], frame_bgr[:, -wide:])
    pixels = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    blue, green, red = pixels.mean(axis=0) + 1.0
    noise = [np.abs(cv2.filter2D(_grey(edge), -1, _IMMERKAER)).reshape(-1) for edge in edges]
    return np.array(
        [
            np.log((blue + green + red) / 3),
            np.log(red / green),
            np.log(blue / green),
            np.log(np.median(np.concatenate(noise)) + 0.5),
            float(header is not None and header.format in ("JPEG", "MPO")),
            header.compression if header is not None else 0.0,
        ],
        np.float32,
    )


def _grey(edge: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(edge), cv2.COLOR_BGR2GRAY).astype(np.float32)
