"""What a person who sets up a camera needs in numbers, and a machine's health in words."""

from __future__ import annotations

import time
from datetime import timedelta

import cv2
import numpy as np

from edgecnn.device.live.status import Status
from edgecnn.device.machine.health import read_health, throttle_flags
from edgecnn.device.web.pictures import shrink
from edgecnn.records import Json

__all__ = ["HealthLine", "camera_measures"]

_DARK, _BRIGHT = 8, 247
_HEALTH_S = 10.0
_HOT_C = 80


def camera_measures(frame_bgr: np.ndarray) -> Json:
    """How sharp and how bright a frame is.

    Returns:
        `sharpness`, the variance of the Laplacian at 480 pixels (only its changes mean something:
        it depends on the scene); `mean` brightness from 0 to 1; the shares of pixels that are
        `dark` (black) and `bright` (white).
    """
    grey = cv2.cvtColor(shrink(frame_bgr), cv2.COLOR_BGR2GRAY)
    return {
        "sharpness": round(float(cv2.Laplacian(grey, cv2.CV_32F).var()), 1),
        "mean": round(float(grey.mean()) / 255, 3),
        "dark": round(float((grey <= _DARK).mean()), 3),
        "bright": round(float((grey >= _BRIGHT).mean()), 3),
    }


class HealthLine:
    """A run's health in one line of words; the machine is asked every 10 seconds at most."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._machine = ""

    def text(self, status: Status) -> str:
        """Such as "Running for 0:12:04 at 28.1 frames a second, 3 dropped. 52 °C."."""
        if time.monotonic() - self._read_at > _HEALTH_S:
            self._read_at = time.monotonic()
            self._machine = _machine_text()
        running = timedelta(seconds=int(status.elapsed_s))
        dropped = f"{status.dropped} dropped" if status.dropped else "none dropped"
        silent = f"No frame {status.silent.text()}. " if status.silent else ""
        unlogged = f"Not logging {status.unlogged.text()}. " if status.unlogged else ""
        return (
            f"{silent}{unlogged}"
            f"Running for {running} at {status.fps:.1f} frames a second, {dropped}. {self._machine}"
        ).strip()


def _machine_text() -> str:
    found = read_health()
    degrees, flags = found["temperature_c"], throttle_flags(found["throttled"])
    parts = []
    if degrees is not None:
        parts.append(f"{degrees:.0f} °C{', hot: give it air' if degrees >= _HOT_C else ''}.")
    if flags:
        parts.append(f"The board reports {', '.join(flags)}.")
    return " ".join(parts)
