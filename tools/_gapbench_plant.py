"""Plant causes into images, into the device's program and into labels.

Written for this benchmark alone: nothing here comes from `edgecnn/camera` or `edgecnn/audit`, which
have to find it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from _gapbench_cases import Plant

from edgecnn.bundle.preprocess import to_tensor
from edgecnn.bundle.spec import InputSpec

__all__ = ["FRAMES_A_THING", "on_frame", "on_input", "on_labels"]

FRAMES_A_THING = 4
"""In cases of late labels each image is shown so many times in a row, as a film shows it."""

_Frame = Callable[[np.ndarray], np.ndarray]


def on_frame(plant: Plant, seed: int) -> _Frame:
    """What a plant does to a picture: uint8 (h, w, 3), B, G, R; `seed` is of the picture."""
    s = plant.strength
    rng = np.random.default_rng(seed)
    made: dict[str, _Frame] = {
        "shift": lambda f: _placed(f, 1.0, s, 0.4 * s),
        "nudge": lambda f: _placed(f, 1.0, s, 0.0),
        "wider": lambda f: _placed(f, 1 / s, 0.0, 0.0),
        "nearer": lambda f: _placed(f, s, 0.0, 0.0),
        "tilt": lambda f: _tilted(f, s),
        "dark": lambda f: _linear(f, lambda light: light * s),
        "brighter": lambda f: _linear(f, lambda light: light * (1 + s)),
        "flat": lambda f: _bytes(150 + (f.astype(float) - 150) * s),
        "blurred": lambda f: cv2.stackBlur(f, _odd(s * min(f.shape[:2]) / 12)),
        "soft": lambda f: cv2.GaussianBlur(f, (3, 3), s),
        "negative": lambda f: np.bitwise_not(f),
        "shadow": lambda f: _bytes(f * _ramp(f, s)),
        "vignette": lambda f: _bytes(f * _round(f, s)),
        "warm": lambda f: _bytes(f * np.array([1 - s, 1.0, 1 + s])),
        "jpeg": lambda f: _jpeg(f, int(s)),
        "noise": lambda f: _bytes(f + rng.normal(0, s, f.shape)),
        "colourful": lambda f: _bytes(f + s * (f - f.mean(axis=2, keepdims=True))),
    }
    return made.get(plant.kind, lambda f: f)


def on_input(plant: Plant, spec: InputSpec) -> _Frame | None:
    """What a wrong program makes of a frame: the input tensor, float where it leaves the range of
    bytes; None: what the bundle makes of it.
    """
    size_wh = (spec.width, spec.height)
    ways: dict[str, _Frame] = {
        "red and blue": lambda f: to_tensor(f, spec)[..., ::-1],
        "range 0 to 1": lambda f: to_tensor(f, spec) / np.float32(255),
        "turned": lambda f: to_tensor(np.ascontiguousarray(cv2.transpose(f)[:, ::-1]), spec),
        "mirrored": lambda f: to_tensor(f, spec)[:, ::-1],
        "nearest": lambda f: cv2.resize(f, size_wh, interpolation=cv2.INTER_NEAREST)[..., ::-1],
    }
    return ways.get(plant.kind)


def on_labels(plant: Plant, labels: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """The labels as somebody wrote them down, for frames in the order of their numbers.

    Args:
        labels: The true ones.
        names: The names of the files.
    """
    told: list[str | None] = list(labels)
    if plant.kind == "late":
        by = int(plant.strength)
        return [None] * by + told[:-by]
    if plant.kind == "backwards":
        return told[::-1]
    if plant.kind == "renamed":
        classes = sorted(set(labels))
        other = dict(zip(classes, classes[3:] + classes[:3], strict=True))
        return [other[label] for label in labels]
    if plant.kind == "sorted":
        listed = sorted(range(len(names)), key=lambda k: names[k])
        return [labels[k] for k in listed]
    return told


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.round(values), 0, 255), np.uint8)


def _linear(frame: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change the light as it fell on the sensor, before the camera's tone curve."""
    light = (frame / 255.0) ** 2.2
    return _bytes(255 * np.clip(change(light), 0, 1) ** (1 / 2.2))


def _placed(frame: np.ndarray, zoom: float, right: float, down: float) -> np.ndarray:
    """The scene `zoom` times as large, moved by shares of the frame; beyond it the scene's edge
    is seen as in a mirror."""
    height, width = frame.shape[:2]
    x = (np.arange(width) - width / 2) / zoom + width / 2 - right * width
    y = (np.arange(height) - height / 2) / zoom + height / 2 - down * height
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(frame, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _tilted(frame: np.ndarray, degrees: float) -> np.ndarray:
    height, width = frame.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def _odd(size: float) -> tuple[int, int]:
    side = max(1, 2 * int(size) + 1)
    return side, side


def _ramp(frame: np.ndarray, depth: float) -> np.ndarray:
    return np.linspace(1, 1 - depth, frame.shape[1])[None, :, None]


def _round(frame: np.ndarray, depth: float) -> np.ndarray:
    y, x = (np.linspace(-1, 1, size) for size in frame.shape[:2])
    return 1 - depth * (y[:, None, None] ** 2 + x[None, :, None] ** 2) / 2


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
