"""Simulate a field: degrade tensors as a random camera would, or as the fitted one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn.bundle.spec import Resize
from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.ranges import weakened
from edgecnn.camera.simulate import Range
from edgecnn.errors import DataError
from edgecnn.images.tensors import TensorView

__all__ = [
    "FieldTensors",
    "broad_ranges",
    "degraded_copy",
    "read_camera",
    "through_camera",
    "training_note",
]

# At the ends of the family, even a person can't read the pictures.
_REACH = 0.7
_ABSENT = 0.4
# The family counts in pixels of pictures with this shorter side.
_SIDE = 64.0
_IN_PIXELS = ("defocus", "motion")
_BROAD: tuple[str, ...] = (
    *("gain", "red", "blue", "contrast", "defocus", "motion", "noise"),
    *("vignette", "illumination", "jpeg", "scale", "occlusion", "perspective"),
)
_CHUNK = 256
_SHARE = 0.7
# A large capture is simulated at this many times the tensor's side: more is not visible in it.
_ENLARGED = 2.0


def broad_ranges(shape: tuple[int, ...]) -> dict[str, Range]:
    """The ranges of random cameras for a network's input size: 0.7 of the family's reach.

    Blur counts in pixels. Below 64 pixels it shrinks with the shorter side: a blur of 1.8 px
    destroys a digit 32 pixels wide. On large pictures it grows up to twice as large.

    Args:
        shape: The shape of the tensors, (..., h, w, 3).
    """
    size = min(2.0, min(shape[-3:-1]) / _SIDE)
    whole = {name: (PARAMETERS[name].low, PARAMETERS[name].high) for name in _BROAD}
    shares = {name: _REACH * (size if name in _IN_PIXELS else 1.0) for name in _BROAD}
    return {name: weakened(name, ends, shares[name]) for name, ends in whole.items()}


def degraded_copy(tensors: np.ndarray, seed: int) -> np.ndarray:
    """Degrade each picture with its own random camera; each cause spares 4 of 10 pictures.

    Args:
        tensors: uint8, RGB, shape (n, h, w, 3).

    Returns:
        uint8, RGB, same shape.
    """
    rng = np.random.default_rng(seed)
    settings = draw_settings(broad_ranges(tensors.shape), len(tensors), rng)
    for name in _BROAD:
        spared = rng.random(len(tensors)) < _ABSENT
        settings[name][spared] = PARAMETERS[name].identity
    copies = np.empty_like(tensors)
    for start in range(0, len(tensors), _CHUNK):
        part = slice(start, start + _CHUNK)
        some = {name: values[part] for name, values in settings.items()}
        bgr = np.ascontiguousarray(tensors[part, ..., ::-1])
        copies[part] = degrade(bgr, some, rng)[..., ::-1]
    return copies


def read_camera(path: Path | str) -> CameraFit:
    """Read the fitted camera of a calibration folder, or of its camera.json.

    Raises:
        DataError: There is none, or it has no ranges to train on.
    """
    path = Path(path)
    path = path / "camera.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise DataError(
            f"can't read a camera from {path} ({reason}), expected the camera.json of "
            "`edgecnn calibrate FIELD --lab LAB`"
        ) from error
    if isinstance(data, dict) and not data.get("ranges", True):
        raise DataError(
            f"{path} holds no fitted ranges ({data.get('meaning')}), expected a camera to train "
            "for; leave out --camera: the default augmentation needs none"
        )
    camera = CameraFit.from_json(data)
    unknown = sorted(camera.ranges.keys() - PARAMETERS.keys())
    if unknown:
        raise DataError(
            f"{path} names causes that this version does not know ({', '.join(unknown)}), "
            f"expected {', '.join(PARAMETERS)}; run `edgecnn calibrate` again"
        )
    return camera


def training_note(camera: CameraFit) -> str:
    """The note of `train --camera`."""
    causes = ", ".join(PARAMETERS[name].meaning for name in camera.ranges)
    return (
        f"{10 * _SHARE:.0f} in 10 training images went through the fitted camera ({causes}); for "
        "other cameras the default augmentation alone may be as good."
    )


def through_camera(
    tensors: np.ndarray, camera: CameraFit, rng: np.random.Generator, resize: Resize = "stretch"
) -> np.ndarray:
    """Degrade tensors as the fitted camera would, at its resolution.

    A tensor is enlarged to its size in the camera's frame, degraded, and reduced again, so that
    blur and noise shrink with the picture. Above twice the tensor's size the simulation is
    approximate: it stays at that size and scales down blur, noise and JPEG loss.

    Args:
        tensors: uint8, RGB, shape (n, h, w, 3).
        resize: How frames become tensors, which decides the part of a frame that a tensor shows.

    Returns:
        uint8, RGB, same shape.
    """
    count, height, width, _ = tensors.shape
    size_wh, shrink = _capture(camera.frame_wh, (width, height), resize)
    frames = np.empty((count, size_wh[1], size_wh[0], 3), np.uint8)
    for k, tensor in enumerate(tensors):
        frames[k] = _resized(tensor[..., ::-1], size_wh)
    # In smaller frames, averaging pixels reduces noise as well as blur.
    smaller = (*_IN_PIXELS, "noise", "jpeg")
    ranges = {n: weakened(n, e, shrink) if n in smaller else e for n, e in camera.ranges.items()}
    seen = degrade(frames, draw_settings(ranges, count, rng), rng)
    return np.stack([_resized(frame, (width, height))[..., ::-1] for frame in seen])


def _capture(
    frame_wh: tuple[int, int], tensor_wh: tuple[int, int], resize: Resize
) -> tuple[tuple[int, int], float]:
    """The size for the simulation, and its share of the camera's own resolution."""
    (width, height), (w, h) = frame_wh, tensor_wh
    if resize != "stretch":
        scale = min(w / width, h / height) if resize == "letterbox" else max(w / width, h / height)
        width, height = round(w / scale), round(h / scale)
    shrink = min(1.0, _ENLARGED * float(np.sqrt(w * h / (width * height))))
    return (max(8, round(width * shrink)), max(8, round(height * shrink))), shrink


def _resized(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size_wh:
        return picture
    smaller = picture.shape[0] * picture.shape[1] > size_wh[0] * size_wh[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size_wh, interpolation=way))


@dataclass(frozen=True, eq=False)
class FieldTensors(TensorView):
    """Tensors that degrade a share of the pictures at each read.

    By default this is 7 in 10; the others stay clean, so that training does not forget the lab.
    The result depends on the seed and on the rows of one read alone.

    Args:
        camera: The fitted camera; None gives each picture its own random one (degraded_copy).
    """

    camera: CameraFit | None
    seed: int
    resize: Resize = "stretch"
    share: float = _SHARE

    def __getitem__(self, rows: Any) -> np.ndarray:
        chosen = np.arange(len(self))[rows]
        rng = np.random.default_rng([self.seed, *chosen.ravel().tolist()])
        seen = np.array(self.tensors[np.atleast_1d(chosen)])
        some = rng.random(len(seen)) < self.share
        if some.any() and self.camera is None:
            seen[some] = degraded_copy(seen[some], int(rng.integers(2**31)))
        elif some.any() and self.camera is not None:
            seen[some] = through_camera(seen[some], self.camera, rng, self.resize)
        return seen if chosen.ndim else seen[0]
