"""The step of the light: what one other tone, polarity or sharpness of the picture returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np

from edgecnn.audit.ledger.change import Change

__all__ = ["LIGHT", "light_changes"]

LIGHT = "light (tone, polarity and sharpness of the picture)"

# Deviation of the blur of "softer" and "sharper", in pixels, and of "evenly lit", of the long side
# of a picture that is shrunk to so many pixels: so wide a blur leaves no more.
_SIGMA, _LARGE, _SMALL = 1.0, 0.25, 64
_DARKEST, _BRIGHTEST = 0.01, 0.99


_LAMP = "lock the exposure or change the lamp until the picture looks so"
_FOCUS = "set the focus and the exposure time until the picture looks so"
_BALANCE = "set or lock the white balance until the picture looks so"
_GROUND = (
    "no lamp does that: put a ground behind the object that is brighter or darker than it, as in "
    "the lab, or add images with this ground to the lab"
)


def light_changes() -> Sequence[Change]:
    """All settings that are tried."""
    tones: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "much brighter": partial(_gamma, power=0.45),
        "brighter": partial(_gamma, power=0.67),
        "darker": partial(_gamma, power=1.5),
        "much darker": partial(_gamma, power=2.2),
        "full contrast": _full_contrast,
        "more contrast": partial(_contrast, gain=1.5),
        "less contrast": partial(_contrast, gain=0.6),
        "evenly lit": _evenly_lit,
    }
    soft = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=_SIGMA)
    return [
        *(Change(name, apply, remedy=_LAMP) for name, apply in tones.items()),
        Change("dark and bright exchanged", _inverted, remedy=_GROUND),
        Change("sharper", partial(_sharper, amount=1.0), remedy=_FOCUS),
        Change("much sharper", partial(_sharper, amount=2.5), remedy=_FOCUS),
        Change("softer", soft, remedy=_FOCUS),
        Change("without a tint", _grey_world, remedy=_BALANCE),
        Change("without colour", _grey, remedy=f"set the camera to grey, or {_BALANCE}"),
        # A source that delivers R, G, B, as many of GStreamer do, and was not said to.
        Change("red and blue exchanged", _exchanged, swaps_colour=True),
    ]


def _table(frame: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Map grey levels, of all channels alike or of each: float, shape (256,) or (1, 256, 3)."""
    return cv2.LUT(frame, np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _gamma(frame: np.ndarray, *, power: float) -> np.ndarray:
    return _table(frame, 255 * (np.arange(256) / 255) ** power)


def _contrast(frame: np.ndarray, *, gain: float) -> np.ndarray:
    middle = float(np.mean(cv2.mean(frame)[:3]))
    return _table(frame, middle + gain * (np.arange(256) - middle))


def _full_contrast(frame: np.ndarray) -> np.ndarray:
    count = cv2.calcHist([frame.reshape(-1)], [0], None, [256], [0, 256])
    below = np.cumsum(count) / frame.size
    low, high = np.searchsorted(below, (_DARKEST, _BRIGHTEST))
    return _table(frame, (np.arange(256) - low) * (255 / max(1.0, high - low)))


def _evenly_lit(frame: np.ndarray) -> np.ndarray:
    """Divide by the light that falls on each place, taken from a wide blur."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    scale = min(1.0, _SMALL / max(grey.shape))
    size = [max(1, round(scale * side)) for side in reversed(grey.shape)]
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), _LARGE * max(small.shape))
    light = cv2.resize(blurred, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    gain = max(1.0, float(light.mean())) / np.maximum(light, 1)
    return cv2.multiply(frame, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _inverted(frame: np.ndarray) -> np.ndarray:
    return np.asarray(255 - frame)


def _sharper(frame: np.ndarray, *, amount: float) -> np.ndarray:
    soft = cv2.GaussianBlur(frame, (0, 0), _SIGMA)
    return cv2.addWeighted(frame, 1 + amount, soft, -amount, 0)


def _grey_world(frame: np.ndarray) -> np.ndarray:
    means = np.array(cv2.mean(frame)[:3])
    gains = means.mean() / np.maximum(means, 1)
    return _table(frame, np.arange(256)[None, :, None] * gains)


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def _exchanged(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
