"""Draw the contact sheet: lab, lab through the fitted camera, and field images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.statistics import Window

__all__ = ["contact_sheet"]

_COLUMNS, _ROWS = 12, 2
_TILE_HEIGHT, _GAP, _TITLE = 112, 4, 24
_LARGEST = 480  # px: larger frames are reduced to this size, which is enough for a tile


def contact_sheet(
    lab_bgr: Sequence[np.ndarray],
    field_bgr: Sequence[np.ndarray],
    frame_wh: tuple[int, int],
    camera: CameraFit | None,
    seed: int,
) -> bytes:
    """Draw up to 24 frames of each kind as a PNG.

    Args:
        lab_bgr, field_bgr: Frames, uint8 (h, w, 3), B, G, R, of any size.
        frame_wh: The field's frame size.
        camera: The fitted camera; None leaves its rows out.
    """
    rng = np.random.default_rng(seed)
    count = _COLUMNS * _ROWS
    scale = min(1.0, _LARGEST / max(frame_wh))
    size_wh = (max(8, round(frame_wh[0] * scale)), max(8, round(frame_wh[1] * scale)))
    whole = Window(size_wh, largest=max(size_wh))

    def sample(frames: Sequence[np.ndarray]) -> np.ndarray:
        chosen = np.sort(rng.permutation(len(frames))[:count])
        return np.stack([whole.cut(frames[k]) for k in chosen])

    lab, field = sample(lab_bgr), sample(field_bgr)
    strips = [("lab, at the field's resolution", lab)]
    if camera is not None and camera.ranges:
        strips.append((f"lab through the fitted camera ({camera.verdict})", camera.apply(lab, rng)))
    elif camera is not None:
        strips.append((f"lab; {camera.meaning}", lab))
    strips.append(("field", field))
    return _png(strips)


def _png(strips: Sequence[tuple[str, np.ndarray]]) -> bytes:
    height, width = strips[0][1].shape[1:3]
    tile_wh = (max(8, round(width * _TILE_HEIGHT / height)), _TILE_HEIGHT)
    blocks = [_block(title, frames, tile_wh) for title, frames in strips]
    ok, data = cv2.imencode(".png", np.concatenate(blocks))
    assert ok, "PNG always encodes"
    return data.tobytes()


def _block(title: str, frames: np.ndarray, tile_wh: tuple[int, int]) -> np.ndarray:
    width, height = tile_wh
    rows = -(-len(frames) // _COLUMNS)
    shape = (_TITLE + rows * (height + _GAP), max(360, _COLUMNS * (width + _GAP)), 3)
    canvas = np.full(shape, 255, np.uint8)
    cv2.putText(canvas, title, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    for k, frame in enumerate(frames):
        way = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_NEAREST
        top = _TITLE + k // _COLUMNS * (height + _GAP)
        left = k % _COLUMNS * (width + _GAP)
        canvas[top : top + height, left : left + width] = cv2.resize(
            frame, tile_wh, interpolation=way
        )
    return canvas
